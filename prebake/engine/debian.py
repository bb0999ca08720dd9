"""Programs from Debian's packages: unpacked into a folder, or installed where that is the only way.

Where packages come from is read from this machine's own apt sources; no host is named here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake import process
from prebake.errors import EngineUnavailable
from prebake.process import Narrator

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BY_HAND = "install Docker Engine 23 or newer with buildx and start it, then run this again"
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Source:
    """One apt source of this machine: a mirror, and a suite's codename such as ``bookworm-security``."""

    mirror: str
    codename: str


def require_debian() -> None:
    """Raises EngineUnavailable where packages cannot be had: not root, no apt-get, not Debian."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise EngineUnavailable(
            "no Docker Engine answers, and this machine has no apt-get to fetch one with", next_action=_BY_HAND
        )
    if os.geteuid() != 0:
        raise EngineUnavailable("no Docker Engine answers, and starting a private one needs root", next_action=_BY_HAND)
    if release().get("ID") != "debian":
        raise EngineUnavailable(
            f"no private engine for {release().get('ID', 'this system')}, only for Debian", next_action=_BY_HAND
        )


def release() -> dict[str, str]:
    """``/etc/os-release``: ``ID``, ``VERSION_CODENAME`` …"""
    file = Path("/etc/os-release")
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines) if value}


def sources(say: Narrator) -> tuple[Source, ...]:
    """This machine's Debian sources of its own release, the release proper first. apt lists are fetched where
    absent."""
    codename = release()["VERSION_CODENAME"]
    found = _sources_of(codename)
    if not found:
        process.run(["apt-get", "-qq", "update"], env=_environment(), say=say)
        found = _sources_of(codename)
    if not any(source.codename == codename for source in found):
        raise EngineUnavailable(
            f"no source of Debian {codename} among this machine's apt sources",
            next_action=f"add one to /etc/apt/sources.list.d, or {_BY_HAND}",
        )
    return found


def _sources_of(codename: str) -> tuple[Source, ...]:
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME)",
        "Created-By: Packages",
        "Component: main",
    ]
    pairs = {tuple(line.split()) for line in process.run(command, env=_environment()).stdout.splitlines()}
    wanted = (codename, f"{codename}-updates", f"{codename}-security")
    return tuple(
        Source(pair[0], pair[1]) for name in wanted for pair in sorted(pairs) if len(pair) == 2 and pair[1] == name
    )


def has_package(name: str) -> bool:
    """Whether apt knows the package from this machine's own sources."""
    return bool(process.run(["apt-cache", "search", "--names-only", f"^{name}$"], env=_environment()).stdout.strip())


def install(packages: Sequence[str], say: Narrator) -> None:
    """Install into the system, for what cannot run from a folder of its own."""
    process.run(["apt-get", "-qq", "update"], env=_environment(), say=say)
    process.run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], env=_environment(), say=say)


def unpack(packages: Sequence[str], into: Path, say: Narrator, *, suite: str | None = None) -> None:
    """Download packages, without what they depend on, and unpack them under ``into``; nothing is installed.

    ``suite`` names another release on the same mirror; None is this machine's own sources.
    """
    with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
        options = _options(suite, Path(folder), say)
        debs = Path(folder) / "debs"
        debs.mkdir()
        if suite or not has_package(packages[0]):
            process.run(["apt-get", "-qq", *options, "update"], env=_environment(), say=say)
        process.run(["apt-get", "-qq", *options, "download", *packages], cwd=debs, env=_environment(), say=say)
        for deb in sorted(debs.glob("*.deb")):
            process.run(["dpkg-deb", "-x", deb, into])


def _options(suite: str | None, folder: Path, say: Narrator) -> list[str]:
    """apt-get options that keep another suite's lists away from the system's; root's sandbox could not write here.

    The status is empty: apt-get would otherwise look for the very version of a package that is installed on this machine, and
    end with 100 if no source has that one.
    """
    (folder / "status").touch()
    own: dict[str, str | Path] = {"APT::Sandbox::User": "root", "Dir::State::status": folder / "status"}
    if suite is None:
        return _words({**own, "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": ""})
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text(f"deb {signed}{sources(say)[0].mirror} {suite} main\n")
    settings: dict[str, str | Path] = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    return _words({**own, **settings})


def _words(settings: Mapping[str, str | Path]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _environment() -> dict[str, str]:
    return {**os.environ, **_QUIET}
