"""Finds the shared libraries that packages need and the image lacks, and the Debian packages that have them."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from distributions import find_distributions
from trials import Outcome

_LOADER = re.compile(
    r"(?:^|[\s'\":(])([^\s/'\":(]+\.so[.\d]*): cannot open shared object file"
)  # glibc's words, by dlopen
_CFFI = re.compile(r"cannot load library '([^/']+?\.so[.\d]*)'")
_DRIVER = re.compile(r"lib(cuda|nvcuvid|nvoptix|nvidia-[\w-]+|GLX_nvidia|EGL_nvidia)\.so")
"""The container runtime brings these from the node (NVIDIA Container Toolkit)."""

DEBIAN = {
    "libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libGLX.so.0": "libglx0", "libOpenGL.so.0": "libopengl0",
    "libGLU.so.1": "libglu1-mesa", "libGLESv2.so.2": "libgles2", "libOSMesa.so.8": "libosmesa6", "libgomp.so.1": "libgomp1",
    "libglib-2.0.so.0": "libglib2.0-0", "libgthread-2.0.so.0": "libglib2.0-0", "libgobject-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0", "libgmodule-2.0.so.0": "libglib2.0-0", "libsndfile.so.1": "libsndfile1",
    "libsndfile.so": "libsndfile1", "libX11.so.6": "libx11-6", "libX11-xcb.so.1": "libx11-xcb1", "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1", "libXi.so.6": "libxi6", "libXrandr.so.2": "libxrandr2", "libXcursor.so.1": "libxcursor1",
    "libXfixes.so.3": "libxfixes3", "libXinerama.so.1": "libxinerama1", "libXt.so.6": "libxt6", "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6", "libxcb.so.1": "libxcb1", "libxkbcommon.so.0": "libxkbcommon0", "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1", "libfreetype.so.6": "libfreetype6", "libpng16.so.16": "libpng16-16",
    "libjpeg.so.62": "libjpeg62-turbo", "libtiff.so.6": "libtiff6", "libwebp.so.7": "libwebp7", "libexpat.so.1": "libexpat1",
    "libportaudio.so.2": "libportaudio2", "libasound.so.2": "libasound2", "libpulse.so.0": "libpulse0",
    "libavcodec.so.59": "libavcodec59", "libavformat.so.59": "libavformat59", "libavutil.so.57": "libavutil57",
    "libswscale.so.6": "libswscale6", "libsox.so.3": "libsox3", "libopenblas.so.0": "libopenblas0-pthread",
    "libgfortran.so.5": "libgfortran5", "libquadmath.so.0": "libquadmath0", "libtbb.so.12": "libtbb12",
    "libnuma.so.1": "libnuma1",
    "libstdc++.so.6": "libstdc++6", "libz.so.1": "zlib1g", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3",
    "libxml2.so.2": "libxml2", "libxslt.so.1": "libxslt1.1", "libusb-1.0.so.0": "libusb-1.0-0", "libmagic.so.1": "libmagic1",
    "libespeak-ng.so.1": "libespeak-ng1", "libzbar.so.0": "libzbar0", "libpq.so.5": "libpq5", "libopus.so.0": "libopus0",
    "libhdf5_serial.so.103": "libhdf5-103-1", "libgeos_c.so.1": "libgeos-c1v5", "libproj.so.25": "libproj25",
    "libcairo.so.2": "libcairo2", "libpango-1.0.so.0": "libpango-1.0-0", "libpangocairo-1.0.so.0": "libpangocairo-1.0-0",
    "libgdk_pixbuf-2.0.so.0": "libgdk-pixbuf-2.0-0", "libffi.so.8": "libffi8", "libsqlite3.so.0": "libsqlite3-0",
    "libatomic.so.1": "libatomic1", "libcurl.so.4": "libcurl4", "libnss3.so": "libnss3", "libnspr4.so": "libnspr4",
    "libEGL_mesa.so.0": "libegl-mesa0", "libgbm.so.1": "libgbm1", "libdrm.so.2": "libdrm2", "libvulkan.so.1": "libvulkan1",
    "libOpenCL.so.1": "ocl-icd-libopencl1", "liblapack.so.3": "liblapack3", "libblas.so.3": "libblas3",
    "libuuid.so.1": "libuuid1",
}  # fmt: skip
"""The package of bookworm that has a library, by its soname."""


class Missing(NamedTuple):
    """The error of a build whose packages need system libraries that the image lacks."""

    message: str
    next_action: str

    def text(self) -> str:
        """For people, and as the last line for the builder (``prebake.documents.stage_error``)."""
        error = {"schema": 1, "kind": "LibraryMissing", **self._asdict(), "problems": []}
        return f"error: {self.message}\n  next: {self.next_action}\n{json.dumps({'prebake_error': error})}"


def find_missing(tree: Path, outcomes: Mapping[str, Outcome], system: Sequence[str]) -> Missing | None:
    """None if no import fails because of a missing system library."""
    lines, packages = [], list(system)
    for distribution in find_distributions(tree):
        said = [
            f"import {module}: {error}"
            for module in distribution.modules
            for error in outcomes[module].errors
            if missing_in(tree, error)
        ]
        if said:
            failed = {name for error in said for name in missing_in(tree, error)}
            for soname in sorted(failed | _unresolved(tree, distribution.files)):
                lines.append(f"  {distribution.name} needs {soname}, {_whose(soname)} ({said[0]})")
                packages.append(DEBIAN.get(soname) or guess_package(soname))
    if not lines:
        return None
    wanted = ", ".join(dict.fromkeys(packages))
    return Missing(
        "\n".join(["Python packages need system libraries that the image lacks:", *lines]),
        f"say `system_packages: [{wanted}]` in image.yaml, pin it by `prebake lock`, and build again",
    )


def missing_in(tree: Path, error: str) -> list[str]:
    """The system libraries that an import error names: neither a driver's nor one that a package brings in another folder."""
    found = dict.fromkeys([*_LOADER.findall(error), *_CFFI.findall(error)])
    return [soname for soname in found if _is_missing(tree, soname)]


def guess_package(soname: str) -> str:
    """By Debian's rule for the names of library packages (Policy, 8.1): the soname without ``.so.``, a dash after a digit."""
    stem, _, version = soname.partition(".so")
    version = version.lstrip(".")
    return f"{stem}{'-' if stem[-1:].isdigit() and version else ''}{version}".lower().replace("_", "-")


def _whose(soname: str) -> str:
    known = DEBIAN.get(soname)
    return (
        f"which Debian's package {known} has" if known else f"which Debian's package {guess_package(soname)} may have"
    )


def _unresolved(tree: Path, files: Sequence[str]) -> set[str]:
    """The libraries that a distribution's libraries need (DT_NEEDED), and that no file provides."""
    needed = {name for file in files if ".so" in file for name in needed_by(tree / file)}
    return {name for name in needed if _is_missing(tree, name)}


def _is_missing(tree: Path, soname: str) -> bool:
    if _DRIVER.match(soname) or soname.startswith("ld-linux"):
        return False
    return soname not in _names_in(tree) and not any((folder / soname).exists() for folder in _system_folders())


@cache
def _names_in(tree: Path) -> frozenset[str]:
    return frozenset(name for _, _, files in os.walk(tree) for name in files if ".so" in name)


@cache
def _system_folders() -> tuple[Path, ...]:
    """The folders that glibc's loader searches, links included; ``/etc/ld.so.conf.d`` lists the others."""
    listed = [
        line for file in sorted(Path("/etc/ld.so.conf.d").glob("*.conf")) for line in file.read_text().splitlines()
    ]
    named = [line.strip() for line in listed if line.startswith("/")]
    usual = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"]
    return tuple(Path(name) for name in [*named, *usual, *map(str, Path("/usr/lib").glob("*-linux-gnu"))])


def needed_by(path: Path) -> list[str]:
    """The sonames that a 64-bit little-endian ELF file needs; empty for any other file."""
    data = path.read_bytes() if path.is_file() else b""
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    try:
        return list(_needed(data))
    except (struct.error, StopIteration, ValueError):  # a truncated or hand-made file
        return []


def _needed(data: bytes) -> Iterator[str]:
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, table + index * size) for index in range(count)]
    dynamic = next((segment for segment in segments if segment[0] == 2), None)
    if dynamic is None:
        return
    entries = [struct.unpack_from("<QQ", data, dynamic[2] + at) for at in range(0, dynamic[5], 16)]
    strings = next(value for tag, value in entries if tag == 5)
    start = next(
        strings - each[3] + each[2] for each in segments if each[0] == 1 and each[3] <= strings < each[3] + each[5]
    )
    for offset in (value for tag, value in entries if tag == 1):
        yield data[start + offset : data.index(b"\0", start + offset)].decode()
