"""The packages of an image, read from its layers: Python, Python packages and Debian packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from prebake.oci.attestations import debian_packages as debian
from prebake.oci.attestations.debian_packages import debian_packages
from prebake.oci.attestations.package import Package
from prebake.oci.attestations.python_packages import METADATA, WHEELS, python_packages
from prebake.oci.blobs.blobs import Blob
from prebake.oci.layers.layer_reader import read_files

_PATCHLEVEL = re.compile(r"(?:usr/local|usr)/include/python3\.\d+/patchlevel\.h")
_VERSION = re.compile(rb'#define\s+PY_VERSION\s+"([^"]+)"')
_MAX_FILE_BYTES = 32 << 20  # dpkg's status of a whole desktop has 5 MB
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def read_installed(layers: Iterable[Blob]) -> dict[str, bytes]:
    """The files of an image that list its installed packages, by path. ``layers`` are in order from the base; a later layer
    replaces and removes files of earlier ones (image specification, "Layer Filesystem Changeset"). Raises what ``read_files``
    raises."""
    files: dict[str, bytes] = {}
    for layer in layers:
        added: dict[str, bytes] = {}
        for path, size, stream in read_files(layer):
            folder, _, name = path.rpartition("/")
            if name.startswith(_WHITEOUT):
                removed = folder if name == _OPAQUE else f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
                files = {
                    other: data
                    for other, data in files.items()
                    if other != removed and not other.startswith(f"{removed}/")
                }
            elif size <= _MAX_FILE_BYTES and _names_packages(path):
                added[path] = stream.read()
        files |= added
    return files


def installed_packages(
    files: Mapping[str, bytes], environment: Sequence[str] = (), requirements: str = ""
) -> list[Package]:
    """The packages of an image: Python first, then its packages, then Debian's. ``files`` are those of ``read_installed``,
    ``environment`` is the image's ``Env``, ``requirements`` its lock of Python packages."""
    system = debian_packages(files)
    python = _python(files, environment, system)
    return [*python, *_unique(python_packages(files, requirements)), *_unique(system)]


def _names_packages(path: str) -> bool:
    """Whether the file lists installed packages."""
    patterns = (METADATA, debian.FILES, _PATCHLEVEL)
    return path.endswith(f"/{WHEELS}") or any(pattern.fullmatch(path) for pattern in patterns)


def _unique(packages: Iterable[Package]) -> list[Package]:
    """A version that is installed at two places is listed once: the one with a known sha256, if there is one."""
    by_purl: dict[str, Package] = {}
    for package in packages:
        if package.purl not in by_purl or (package.sha256 and not by_purl[package.purl].sha256):
            by_purl[package.purl] = package
    return list(by_purl.values())


def _python(files: Mapping[str, bytes], environment: Sequence[str], system: Iterable[Package]) -> list[Package]:
    """Python by ``PYTHON_VERSION``, which Docker's official images set, else by its header, else by Debian's package."""
    variable = dict(entry.partition("=")[::2] for entry in environment).get("PYTHON_VERSION", "")
    headers = [
        match[1].decode() for path in files if _PATCHLEVEL.fullmatch(path) and (match := _VERSION.search(files[path]))
    ]
    packaged = [package.version for package in system if re.fullmatch(r"python3\.\d+-minimal", package.name)]
    upstream = [re.split(r"[-+~]", version.rpartition(":")[2])[0] for version in packaged]
    version = next(iter([*([variable] if variable else []), *headers, *upstream]), "")
    return [Package("python", version, f"pkg:generic/python@{version}", "PSF-2.0")] if version else []
