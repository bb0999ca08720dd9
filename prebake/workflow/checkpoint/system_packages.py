"""Debian packages of an image: locked by ``prebake lock``, downloaded into the store by a build."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from prebake.bootstrap import debian_packages
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.store.store import Store
from prebake.docker.apt import find_packages
from prebake.docker.connection import find_engine
from prebake.docker.images.base_image import resolve_base
from prebake.errors import ChecksumMismatch, EngineUnavailable, NoNetwork, SourceError, SystemPackageError
from prebake.io.byte_sizes import format_bytes
from prebake.io.log import Log
from prebake.io.os_release import read_os_release
from prebake.oci.platforms import host_architecture
from prebake.spec.image.system_packages import NO_SYSTEM, LockedPackage, LockedSystem
from prebake.spec.lock import LockedBase, LockedFile

MIRRORS_VARIABLE = "PREBAKE_DEBIAN_MIRRORS"
"""The variable with URLs of archives that are tried first, separated by blanks."""


def lock_system(names: Sequence[str], base: LockedBase, before: LockedSystem, log: Log) -> LockedSystem:
    """Lock the packages for this machine's architecture. Those of other architectures stay if the names are the same."""
    if not names:
        return NO_SYSTEM
    log(f"lock: system packages {', '.join(names)}")
    connection = find_engine()
    found = find_packages(connection, resolve_base(connection, f"{base.reference}@{base.digest}", log=log), names, log)
    others = before.packages if before.names == tuple(names) else {}
    archives = tuple(dict.fromkeys((*found.archives, *(before.archives if others else ()))))
    return LockedSystem(tuple(names), archives, {**others, host_architecture(): found.packages})


def fetch_system(system: LockedSystem, store: Store, log: Log) -> None:
    """Download every locked package into the store, from its own archive or another one.

    Raises SystemPackageError with all packages that no archive has.
    """
    packages = {package.sha256: package for entries in system.packages.values() for package in entries}
    absent = [package for package in packages.values() if store.get(package.sha256, package.size) is None]
    if not absent:
        return
    log(f"system: {len(absent)} packages, {format_bytes(sum(package.size for package in absent))}")
    fallback = [*system.archives, *_own_archives(log)]
    problems = [problem for package in absent if (problem := _fetch_one(package, fallback, store))]
    if problems:
        raise SystemPackageError(
            "\n".join(["No archive has these system packages:", *(f"  {problem}" for problem in problems)]),
            next_action=f"run `prebake lock --model NAME` to lock the present versions, or set {MIRRORS_VARIABLE}=URL to an "
            "archive with the old ones",
        )


def _fetch_one(package: LockedPackage, fallback: Sequence[str], store: Store) -> str:
    """Download one package; the reason of a failure, or an empty text."""
    problem = "no archive is known"
    for archive in dict.fromkeys((*os.environ.get(MIRRORS_VARIABLE, "").split(), package.archive, *fallback)):
        source = f"http:{archive.rstrip('/')}/{package.path}"
        file = LockedFile(
            path=package.name,
            source=source,
            revision="",
            locator="",
            size=package.size,
            sha256=package.sha256,
            license="",
            ship=False,
        )
        try:
            fetch([file], store, {"http": Http()}, terminal_progress())
        except (SourceError, NoNetwork, ChecksumMismatch) as error:
            problem = error.message.splitlines()[0]
        else:
            return ""
    return f"{package.name} {package.version}: {problem}"


def _own_archives(log: Log) -> list[str]:
    if platform.system() != "Linux" or read_os_release().get("ID") != "debian":
        return []
    try:
        return [source.mirror for source in debian_packages.sources(log)]
    except (EngineUnavailable, OSError):
        return []
