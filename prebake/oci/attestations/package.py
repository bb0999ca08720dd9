"""A package of an image, for its bill of materials."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """``purl`` is the package URL. ``license`` is an SPDX expression, or the package's own name of its terms, empty if it has
    none. ``file`` and ``sha256`` are those of the archive that it was installed from, empty if that is not known. ``path``
    is its place in the image."""

    name: str
    version: str
    purl: str
    license: str = ""
    file: str = ""
    sha256: str = ""
    path: str = ""
