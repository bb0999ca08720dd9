"""A package that an image holds, as its bill of materials lists it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """``purl`` is its package URL; ``licence`` an SPDX expression, or the name that the package gives its terms, empty if it
    tells none. ``file`` and ``sha256`` are those of the archive that it was installed from, empty if that is not known;
    ``path`` is where the image has it."""

    name: str
    version: str
    purl: str
    licence: str = ""
    file: str = ""
    sha256: str = ""
    path: str = ""
