"""System packages of an image: pinned by ``prebake lock``, brought into the store by a build."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.http import Http
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.store import Store
from prebake.engine import debian
from prebake.engine.apt import find_packages
from prebake.engine.base import resolve_base
from prebake.engine.connection import find_engine
from prebake.engine.recipe import architecture
from prebake.errors import ChecksumMismatch, EngineUnavailable, NoNetwork, SourceError, SystemPackageError
from prebake.sizes import show_bytes
from prebake.spec.lock import LockedBase, LockedFile
from prebake.spec.system import NO_SYSTEM, LockedPackage, LockedSystem
from prebake.workflow.steps import Tell

MIRRORS = "PREBAKE_DEBIAN_MIRRORS"
"""The variable with URLs of archives that are asked first, with blanks between them."""


def lock_system(names: Sequence[str], base: LockedBase, before: LockedSystem, tell: Tell) -> LockedSystem:
    """Pin the packages for this machine's architecture; what is pinned of the same names for others is kept."""
    if not names:
        return NO_SYSTEM
    tell(f"lock: system packages {', '.join(names)}")
    connection = find_engine()
    found = find_packages(
        connection, resolve_base(connection, f"{base.reference}@{base.digest}", say=tell), names, tell
    )
    others = before.packages if before.names == tuple(names) else {}
    archives = tuple(dict.fromkeys((*found.archives, *(before.archives if others else ()))))
    return LockedSystem(tuple(names), archives, {**others, architecture(): found.packages})


def fetch_system(system: LockedSystem, store: Store, tell: Tell) -> None:
    """Have every pinned package in the store, from its own archive or another one that has it.

    Raises SystemPackageError, with all of them, for packages that no archive has.
    """
    packages = {each.sha256: each for entries in system.packages.values() for each in entries}
    absent = [each for each in packages.values() if store.get(each.sha256, each.size) is None]
    if not absent:
        return
    tell(f"system: {len(absent)} packages, {show_bytes(sum(each.size for each in absent))}")
    fallback = [*system.archives, *_own_archives(tell)]
    lacking = [problem for each in absent if (problem := _fetch_one(each, fallback, store))]
    if lacking:
        raise SystemPackageError(
            "\n".join(["System packages cannot be had from any archive:", *(f"  {problem}" for problem in lacking)]),
            next_action=f"`prebake lock --model NAME` pins what Debian has now; {MIRRORS}=URL names an archive with old ones",
        )


def _fetch_one(package: LockedPackage, fallback: Sequence[str], store: Store) -> str:
    """Why it cannot be had; empty if it is in the store now."""
    problem = "no archive is known"
    for archive in dict.fromkeys((*os.environ.get(MIRRORS, "").split(), package.archive, *fallback)):
        source = f"http:{archive.rstrip('/')}/{package.path}"
        file = LockedFile(package.name, source, "", "", package.size, package.sha256, "", False)
        try:
            fetch([file], store, {"http": Http()}, terminal_progress())
        except (SourceError, NoNetwork, ChecksumMismatch) as error:
            problem = error.message.splitlines()[0]
        else:
            return ""
    return f"{package.name} {package.version}: {problem}"


def _own_archives(tell: Tell) -> list[str]:
    if platform.system() != "Linux" or debian.release().get("ID") != "debian":
        return []
    try:
        return [source.mirror for source in debian.sources(tell)]
    except (EngineUnavailable, OSError):
        return []
