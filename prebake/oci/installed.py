"""What is installed in an image, read from its layers: Python and Debian packages, and Python itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from prebake.oci import debian
from prebake.oci.blobs import Blob
from prebake.oci.debian import debian_packages
from prebake.oci.package import Package
from prebake.oci.unpacked import files_of
from prebake.oci.wheels import METADATA, WHEELS, python_packages

_PATCHLEVEL = re.compile(r"(?:usr/local|usr)/include/python3\.\d+/patchlevel\.h")
_VERSION = re.compile(rb'#define\s+PY_VERSION\s+"([^"]+)"')
_LARGEST = 32 << 20  # bytes: dpkg's status of a whole desktop has 5 MB
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def read_installed(layers: Iterable[Blob]) -> dict[str, bytes]:
    """Of layers, from the bottom, the files that say what is installed, by path; a later layer replaces and removes those of
    an earlier one (image specification, "Layer Filesystem Changeset"). Raises what ``files_of`` raises."""
    files: dict[str, bytes] = {}
    for layer in layers:
        here: dict[str, bytes] = {}
        for path, size, stream in files_of(layer):
            folder, _, name = path.rpartition("/")
            if name.startswith(_WHITEOUT):
                gone = folder if name == _OPAQUE else f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
                files = {each: data for each, data in files.items() if each != gone and not each.startswith(f"{gone}/")}
            elif size <= _LARGEST and _says(path):
                here[path] = stream.read()
        files |= here
    return files


def installed_packages(
    files: Mapping[str, bytes], environment: Sequence[str] = (), requirements: str = ""
) -> list[Package]:
    """``files`` as ``read_installed`` gives them, ``environment`` the image's ``Env``, ``requirements`` its lock of Python
    packages. Python first, then its packages, then Debian's."""
    system = debian_packages(files)
    python = _python(files, environment, system)
    return [*python, *_once(python_packages(files, requirements)), *_once(system)]


def _says(path: str) -> bool:
    patterns = (METADATA, debian.FILES, _PATCHLEVEL)
    return path.endswith(f"/{WHEELS}") or any(pattern.fullmatch(path) for pattern in patterns)


def _once(packages: Iterable[Package]) -> list[Package]:
    """The same version at two places is one component."""
    found: dict[str, Package] = {}
    for each in packages:
        if each.purl not in found or (each.sha256 and not found[each.purl].sha256):
            found[each.purl] = each
    return list(found.values())


def _python(files: Mapping[str, bytes], environment: Sequence[str], system: Iterable[Package]) -> list[Package]:
    """By ``PYTHON_VERSION``, which Docker's official images set, else by its header, else by Debian's package."""
    said = dict(entry.partition("=")[::2] for entry in environment).get("PYTHON_VERSION", "")
    headers = [
        found[1].decode() for path in files if _PATCHLEVEL.fullmatch(path) and (found := _VERSION.search(files[path]))
    ]
    packaged = [each.version for each in system if re.fullmatch(r"python3\.\d+-minimal", each.name)]
    upstream = [re.split(r"[-+~]", version.rpartition(":")[2])[0] for version in packaged]
    version = next(iter([*([said] if said else []), *headers, *upstream]), "")
    return [Package("python", version, f"pkg:generic/python@{version}", "PSF-2.0")] if version else []
