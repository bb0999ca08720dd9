"""Which Debian packages a name stands for, with all that it depends on: asked of apt, which checks the archive's signatures.

apt runs in a container of the base image if that has it, with the base's own sources. Otherwise this machine's apt runs, for the
base's release. Neither is told what is installed (its own status file is empty), so the answer does not depend on that.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from prebake import process
from prebake.engine import debian
from prebake.engine.base import Base
from prebake.engine.connection import Connection
from prebake.engine.container_spec import ContainerSpec
from prebake.engine.containers import copy_out, run_to_end
from prebake.engine.packages import pip_access
from prebake.engine.recipe import architecture
from prebake.errors import EngineError, EngineUnavailable, SystemPackageError
from prebake.process import CommandFailed, Narrator
from prebake.spec.system import LockedPackage

IN_EVERY_BASE = ("libc6", "libgcc-s1", "libstdc++6")
"""What a base with Python has anyway, with what these depend on."""

_MARK = "prebake:"
_CORRECT = "correct the names in image.yaml `system`: packages of the base's release, as `apt-cache search` shows them"
_SNAPSHOT = re.compile(
    r"^#\s*(https?://\S+/\d{8}T\d{6}Z)/?\s*$", re.MULTILINE
)  # debuerreotype writes it into its images


@dataclass(frozen=True)
class Found:
    """``archives`` are the URLs of archives with such packages; the last ones keep old packages, if the base names any."""

    archives: tuple[str, ...]
    packages: tuple[LockedPackage, ...]


def find_packages(connection: Connection, base: Base, names: Sequence[str], say: Narrator) -> Found:
    """The packages of these names and what they depend on, but for what every base has.

    Raises SystemPackageError if one is not to be had, or the base is none of Debian's packages.
    """
    release = _release(connection, base)
    if not {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()}:
        raise SystemPackageError(
            f"{base.reference} is {release.get('ID') or 'of an unknown system'}, and `system` names Debian's packages.",
            next_action="take a base of Debian's, or put the libraries into a base of your own",
        )
    if _has_apt(connection, base):
        return _read(_in_container(connection, base, names))
    return _read(_on_host(release["VERSION_CODENAME"], names, say))


def commands(folder: str, names: Sequence[str], options: Sequence[str] = ()) -> Iterator[list[str]]:
    """What to run one after the other; ``folder`` is empty and apt's own."""
    own = ["-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", *options]
    own += [
        "-o",
        f"Dir::State::status={folder}/status",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "APT::Get::AllowUnauthenticated=no",
    ]
    yield ["mkdir", "-p", f"{folder}/lists/partial", f"{folder}/cache/archives/partial"]
    yield ["touch", f"{folder}/status"]
    yield ["apt-get", *own, "update"]
    for wanted in (IN_EVERY_BASE, names):
        yield ["echo", f"{_MARK}uris"]
        yield ["apt-get", *own, "install", "--yes", "--no-install-recommends", "--print-uris", *wanted]
    yield ["echo", f"{_MARK}fields"]
    yield ["apt-cache", *own, "dumpavail"]


def _release(connection: Connection, base: Base) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
        for path in ("/usr/lib/os-release", "/etc/os-release"):
            try:
                file = copy_out(connection, base.reference, path, Path(folder, "os-release"))
            except EngineError:
                continue
            return debian.release(file)
    return {}


def _has_apt(connection: Connection, base: Base) -> bool:
    with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
        try:
            copy_out(connection, base.reference, "/usr/bin/apt-get", Path(folder, "apt-get"))
        except EngineError:
            return False
    return True


def _in_container(connection: Connection, base: Base, names: Sequence[str]) -> str:
    words = " && ".join(shlex.join(command) for command in commands("/tmp/apt", names))  # noqa: S108
    script = (
        f"set -e; {words}; echo {_MARK}sources; cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true"
    )
    access = pip_access()  # how this machine reaches the network, said where the archive is reached from
    spec = ContainerSpec(
        base.reference,
        ["-c", script],
        ["/bin/sh"],
        user="0:0",
        tmpfs={"/tmp": "size=1g,mode=1777"},  # noqa: S108
        environment=access.proxies,
        network="host" if access.on_loopback else None,
    )
    ended, log = run_to_end(connection, spec, seconds=900)
    if ended.exit_code:
        raise _refused(names, log)
    return log


def _on_host(suite: str, names: Sequence[str], say: Narrator) -> str:
    try:
        with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
            options = debian.suite_options(suite, Path(folder), say)
            environment = debian.environment()
            return "\n".join(process.run(each, env=environment).stdout for each in commands(folder, names, options))
    except CommandFailed as failed:
        raise _refused(names, failed.finished.stderr or failed.message) from failed
    except (EngineUnavailable, KeyError) as lacking:
        raise SystemPackageError(
            f"nothing here can look up Debian's packages: the base has no apt, and neither has this machine ({lacking})",
            next_action="lock on Debian, or with a base image that has apt (python:3.11-slim-bookworm has)",
        ) from lacking


def _refused(names: Sequence[str], log: str) -> SystemPackageError:
    said = [line for line in log.splitlines() if line.startswith(("E:", "W:", "Err"))] or log.splitlines()[-5:]
    return SystemPackageError(
        "\n".join([f"apt has no way to install {' '.join(names)}:", *(f"  {line}" for line in said)]),
        next_action=_CORRECT,
    )


def _read(text: str) -> Found:
    _, below, wanted, rest = text.split(f"{_MARK}", 3)
    fields, _, sources = rest.partition(f"{_MARK}sources")
    present = set(_uris(below))
    known = dict(_stanzas(fields))
    archives: dict[str, None] = {}
    packages = []
    for uri in _uris(wanted):
        package = known[unquote(uri).rpartition("/")[2]]
        archive = unquote(uri).removesuffix(unquote(package.path)).rstrip("/")
        archives.setdefault(archive)
        if uri not in present:
            packages.append(replace(package, archive=archive))
    snapshots = dict.fromkeys(_SNAPSHOT.findall(sources))
    return Found((*archives, *snapshots), tuple(sorted(packages, key=lambda each: each.name)))


def _uris(text: str) -> list[str]:
    return re.findall(r"^'(\S+\.deb)' ", text, re.MULTILINE)


def _stanzas(text: str) -> Iterator[tuple[str, LockedPackage]]:
    """Packages by the name of their file: the last part of a URL."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Filename|Size|SHA256): (.+)$", stanza, re.MULTILINE))
        if len(fields) == 6 and fields["Architecture"] in (architecture(), "all"):
            package = LockedPackage(
                fields["Package"], fields["Version"], fields["Filename"], int(fields["Size"]), fields["SHA256"], ""
            )
            yield package.path.rpartition("/")[2], package
