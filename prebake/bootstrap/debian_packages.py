"""Programs from Debian's packages: unpacked into a folder, or installed if they cannot run from one.

Packages come from this machine's own apt sources; no host is named here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.log import Log
from prebake.io.os_release import read_os_release

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_INSTALL_BY_HAND = "install Docker Engine 23 or newer with buildx and start it, then run this again"
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_LIST_SOURCES = ("indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Component: main")


@dataclass(frozen=True)
class AptSource:
    """One apt source of this machine: a mirror, and a suite's codename such as ``bookworm-security``."""

    mirror: str
    codename: str


def require_debian() -> None:
    """Raises EngineUnavailable unless this is Debian with apt-get, and the user is root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise EngineUnavailable(
            "No Docker Engine answers, and this machine has no apt-get to install one.",
            next_action=_INSTALL_BY_HAND,
        )
    if os.geteuid() != 0:
        raise EngineUnavailable(
            "No Docker Engine answers, and only root can start a private one.", next_action=_INSTALL_BY_HAND
        )
    system = read_os_release().get("ID", "an unknown system")
    if system != "debian":
        raise EngineUnavailable(
            f"No Docker Engine answers, and a private one runs on Debian only; this is {system}.",
            next_action=_INSTALL_BY_HAND,
        )


def sources(log: Log) -> tuple[AptSource, ...]:
    """This machine's apt sources of its own Debian release, the release proper first. apt's lists are fetched if they are
    missing."""
    codename = read_os_release()["VERSION_CODENAME"]
    known = _read_sources(codename)
    if not known:
        subprocesses.run(["apt-get", "-qq", "update"], env=environment(), log=log)
        known = _read_sources(codename)
    if not any(source.codename == codename for source in known):
        raise EngineUnavailable(
            f"This machine's apt sources have no mirror of Debian {codename}.",
            next_action=f"add one to /etc/apt/sources.list.d, or {_INSTALL_BY_HAND}",
        )
    return known


def install(packages: Sequence[str], log: Log) -> None:
    """Install packages into the system, for programs that cannot run from a folder of their own."""
    subprocesses.run(["apt-get", "-qq", "update"], env=environment(), log=log)
    command = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]
    subprocesses.run(command, env=environment(), log=log)


def unpack(packages: Sequence[str], into: Path, log: Log, *, suite: str | None = None) -> None:
    """Download packages without their dependencies, and unpack them under ``into``; nothing is installed.

    ``suite`` names another release on the same mirror; None stands for this machine's own sources.
    """
    with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
        options = _unpack_options(suite, Path(folder), log)
        archives = Path(folder) / "debs"
        archives.mkdir()
        if suite or not _has_package(packages[0]):
            subprocesses.run(["apt-get", "-qq", *options, "update"], env=environment(), log=log)
        subprocesses.run(["apt-get", "-qq", *options, "download", *packages], cwd=archives, env=environment(), log=log)
        for archive in sorted(archives.glob("*.deb")):
            subprocesses.run(["dpkg-deb", "-x", archive, into])


def suite_options(suite: str, folder: Path, log: Log) -> list[str]:
    """apt-get options for another suite and its updates alone, from this machine's mirrors."""
    host_suite = read_os_release()["VERSION_CODENAME"]
    lines = [_source_line(source.mirror, source.codename.replace(host_suite, suite)) for source in sources(log)]
    (folder / "sources.list").write_text("".join(lines))
    return _words({"Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "/dev/null"})


def environment() -> dict[str, str]:
    """The environment in which apt asks no questions, and answers in English."""
    return {**os.environ, **_ENVIRONMENT}


def _read_sources(codename: str) -> tuple[AptSource, ...]:
    output = subprocesses.run(["apt-get", *_LIST_SOURCES], env=environment()).stdout
    pairs = sorted({tuple(line.split()) for line in output.splitlines()})
    suites = (codename, f"{codename}-updates", f"{codename}-security")
    return tuple(AptSource(*pair) for suite in suites for pair in pairs if len(pair) == 2 and pair[1] == suite)


def _has_package(name: str) -> bool:
    """Whether apt knows the package from this machine's own sources."""
    command = ["apt-cache", "search", "--names-only", f"^{name}$"]
    return bool(subprocesses.run(command, env=environment()).stdout.strip())


def _unpack_options(suite: str | None, folder: Path, log: Log) -> list[str]:
    """apt-get options that keep another suite's lists apart from the system's. apt's sandbox user could not write here.

    The status file is empty: apt-get would otherwise look for the version of a package that this machine has installed, and end
    with 100 if no source has that version.
    """
    (folder / "status").touch()
    options: dict[str, str | Path] = {"APT::Sandbox::User": "root", "Dir::State::status": folder / "status"}
    if suite is None:
        return _words({**options, "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": ""})
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(_source_line(sources(log)[0].mirror, suite))
    folders: dict[str, str | Path] = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    return _words({**options, **folders})


def _source_line(mirror: str, suite: str) -> str:
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return f"deb {signed}{mirror} {suite} main\n"


def _words(settings: Mapping[str, str | Path]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
