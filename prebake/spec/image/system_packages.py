"""Debian packages, as image.yaml names them and as weights.lock pins them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from prebake.errors import Problem

SYSTEM_PACKAGE = r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$"
SystemPackage = Annotated[str, Field(pattern=SYSTEM_PACKAGE)]
"""``libgl1``, or ``libgl1=1.6.0-1``."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[\w.+~%:-]+(/[\w.+~%:-]+)*\.deb")


@dataclass(frozen=True)
class LockedPackage:
    """A Debian package. ``path`` is its file's path below ``archive`` (a URL), ``size`` its bytes."""

    name: str
    version: str
    path: str
    size: int
    sha256: str
    archive: str

    def file(self, architecture: str) -> str:
        """Its path in the build's context."""
        return f"system/packages/{architecture}/{self.name}_{self.version.replace(':', '%3a')}.deb"


@dataclass(frozen=True)
class LockedSystem:
    """``names`` are those of image.yaml; ``packages`` has them and their dependencies by architecture (``amd64``); ``archives``
    are URLs of other archives that may have a package."""

    names: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    packages: Mapping[str, tuple[LockedPackage, ...]] = field(default_factory=dict)

    @property
    def digests(self) -> list[str]:
        """The sha256 of every package's file."""
        return sorted({package.sha256 for packages in self.packages.values() for package in packages})

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


NO_SYSTEM = LockedSystem()


def join_systems(systems: Sequence[LockedSystem]) -> LockedSystem:
    """The packages of several models together. If two of them pin different versions of a package, the first one's is taken."""
    packages: dict[str, dict[str, LockedPackage]] = {}
    for system in systems:
        for architecture, entries in system.packages.items():
            for package in entries:
                packages.setdefault(architecture, {}).setdefault(package.name, package)
    return LockedSystem(
        tuple(dict.fromkeys(name for system in systems for name in system.names)),
        tuple(dict.fromkeys(archive for system in systems for archive in system.archives)),
        {architecture: tuple(by_name[name] for name in sorted(by_name)) for architecture, by_name in packages.items()},
    )


def parse_system(document: Any, where: str, problems: list[Problem]) -> LockedSystem:
    """The lock's ``system_packages``; faults are added to ``problems``."""
    if document is None:
        return NO_SYSTEM
    try:
        packages = {
            architecture: tuple(LockedPackage(**entry) for entry in entries)
            for architecture, entries in document["packages"].items()
        }
        locked = LockedSystem(tuple(document["names"]), tuple(document["archives"]), packages)
    except (AttributeError, KeyError, TypeError) as error:
        problems.append(Problem(f"{where}: system_packages", f"cannot be read: {error!r}"))
        return NO_SYSTEM
    problems += _find_faults(locked, where)
    return locked


def _find_faults(locked: LockedSystem, where: str) -> Iterator[Problem]:
    if not all(isinstance(text, str) for text in (*locked.names, *locked.archives)):
        yield Problem(f"{where}: system_packages", "names and archives should be lists of str")
    for architecture, entries in locked.packages.items():
        for package in entries:
            if not all(isinstance(text, str) for text in (package.name, package.version, package.archive)):
                yield Problem(
                    f"{where}: system_packages {architecture}", f"{package.name!r} has a field that is not a str"
                )
            place = f"{where}: system_packages {architecture} {package.name}"
            if not _SHA256.fullmatch(str(package.sha256)) or not isinstance(package.size, int):
                yield Problem(place, f"should have a sha256 and a size, found {package.sha256!r} and {package.size!r}")
            if not _PATH.fullmatch(str(package.path)) or ".." in str(package.path).split("/"):
                yield Problem(place, f"path {package.path!r} is not the path of a .deb in an archive")
