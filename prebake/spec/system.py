"""System packages: as image.yaml names them, and as weights.lock pins them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from prebake.errors import Problem

SystemPackage = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$")]
"""``libgl1``, or ``libgl1=1.6.0-1``."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[\w.+~%:-]+(/[\w.+~%:-]+)*\.deb")


@dataclass(frozen=True)
class LockedPackage:
    """A Debian package: ``path`` is its file's below ``archive`` (a URL), ``size`` is in bytes."""

    name: str
    version: str
    path: str
    size: int
    sha256: str
    archive: str

    def file(self, architecture: str) -> str:
        """Its place in the build's context."""
        return f"system/packages/{architecture}/{self.name}_{self.version.replace(':', '%3a')}.deb"


@dataclass(frozen=True)
class LockedSystem:
    """``names`` are image.yaml's words; ``packages`` are these and what they depend on, by architecture (``amd64``);
    ``archives`` are other URLs by which a package may be had."""

    names: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    packages: Mapping[str, tuple[LockedPackage, ...]] = field(default_factory=dict)

    @property
    def digests(self) -> list[str]:
        """The sha256 of every file: what a layer of them follows from."""
        return sorted({package.sha256 for each in self.packages.values() for package in each})

    def document(self) -> dict[str, Any]:
        return asdict(self)


NO_SYSTEM = LockedSystem()


def join_systems(systems: Sequence[LockedSystem]) -> LockedSystem:
    """What several models need together. Of a package that two of them pin in other versions, the first one's is taken."""
    packages: dict[str, dict[str, LockedPackage]] = {}
    for system in systems:
        for architecture, entries in system.packages.items():
            for each in entries:
                packages.setdefault(architecture, {}).setdefault(each.name, each)
    return LockedSystem(
        tuple(dict.fromkeys(name for system in systems for name in system.names)),
        tuple(dict.fromkeys(archive for system in systems for archive in system.archives)),
        {architecture: tuple(each[name] for name in sorted(each)) for architecture, each in packages.items()},
    )


def parse_system(document: Any, where: str, problems: list[Problem]) -> LockedSystem:
    """The lock's ``system``; faults are added to ``problems``."""
    if document is None:
        return NO_SYSTEM
    try:
        packages = {
            architecture: tuple(LockedPackage(**each) for each in entries)
            for architecture, entries in document["packages"].items()
        }
        locked = LockedSystem(tuple(document["names"]), tuple(document["archives"]), packages)
    except (AttributeError, KeyError, TypeError) as error:
        problems.append(Problem(f"{where}: system", f"cannot be read: {error!r}"))
        return NO_SYSTEM
    problems += _faults(locked, where)
    return locked


def _faults(locked: LockedSystem, where: str) -> Iterator[Problem]:
    for architecture, entries in locked.packages.items():
        for each in entries:
            place = f"{where}: system {architecture} {each.name}"
            if not _SHA256.fullmatch(str(each.sha256)) or not isinstance(each.size, int):
                yield Problem(place, f"should have a sha256 and a size, found {each.sha256!r} and {each.size!r}")
            if not _PATH.fullmatch(str(each.path)) or ".." in str(each.path).split("/"):
                yield Problem(place, f"path {each.path!r} is none of an archive")
