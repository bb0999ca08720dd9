"""The Debian packages that ``system`` in image.yaml names, with their dependencies, as apt resolves them. apt checks the
archive's signatures.

apt runs in a container of the base image if the base has it, with the base's sources. Otherwise this machine's apt runs, for the
base's release; ``prebake.bootstrap`` has its options, and is imported in that case only. apt gets an empty status file, so that
the result does not depend on installed packages.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from prebake.docker.buildkit.package_index import pip_access
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import copy_out, run_to_end
from prebake.docker.images.base_image import Base
from prebake.errors import EngineError, EngineUnavailable, SystemPackageError
from prebake.io import subprocesses
from prebake.io.log import Log
from prebake.io.os_release import read_os_release
from prebake.io.subprocesses import CommandFailed
from prebake.oci.platforms import host_architecture
from prebake.spec.image.system_packages import LockedPackage

IN_EVERY_BASE = ("libc6", "libgcc-s1", "libstdc++6")
"""Packages that every base with Python has, as it has their dependencies."""

_MARK = "prebake:"
_CORRECT_NAMES = (
    "correct `system_packages` in image.yaml: its names must be those of the base's release (see `apt-cache search`)"
)
_SNAPSHOT = re.compile(r"^#\s*(https?://\S+/\d{8}T\d{6}Z)/?\s*$", re.MULTILINE)  # in images that debuerreotype made


@dataclass(frozen=True)
class AptPackages:
    """``archives`` are URLs of archives with these packages; the last ones are snapshots with old packages, if the base names
    any."""

    archives: tuple[str, ...]
    packages: tuple[LockedPackage, ...]


def find_packages(connection: Connection, base: Base, names: Sequence[str], log: Log) -> AptPackages:
    """The packages of these names and their dependencies, except those that every base has.

    Raises SystemPackageError if apt cannot install one, or the base has no Debian packages.
    """
    release = _release(connection, base)
    if not {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()}:
        raise SystemPackageError(
            f"`system_packages` needs a Debian base, but the base {base.reference} is "
            f"{release.get('ID') or 'an unknown system'}.",
            next_action="use a Debian base, or a base of your own that has the libraries",
        )
    if _has_apt(connection, base):
        return _read(_in_container(connection, base, names))
    return _read(_on_host(release["VERSION_CODENAME"], names, log))


def commands(folder: str, names: Sequence[str], options: Sequence[str] = ()) -> Iterator[list[str]]:
    """The commands that resolve ``names``, in order. ``folder`` is empty, and for apt alone."""
    settings = ["-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", *options]
    settings += [
        "-o",
        f"Dir::State::status={folder}/status",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "APT::Get::AllowUnauthenticated=no",
    ]
    yield ["mkdir", "-p", f"{folder}/lists/partial", f"{folder}/cache/archives/partial"]
    yield ["touch", f"{folder}/status"]
    yield ["apt-get", *settings, "update"]
    for packages in (IN_EVERY_BASE, names):
        yield ["echo", f"{_MARK}uris"]
        yield ["apt-get", *settings, "install", "--yes", "--no-install-recommends", "--print-uris", *packages]
    yield ["echo", f"{_MARK}fields"]
    yield ["apt-cache", *settings, "dumpavail"]


def _release(connection: Connection, base: Base) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
        for path in ("/usr/lib/os-release", "/etc/os-release"):
            try:
                file = copy_out(connection, base.reference, path, Path(folder, "os-release"))
            except EngineError:
                continue
            return read_os_release(file)
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
    access = pip_access()  # the proxies by which this machine reaches the network
    spec = ContainerSpec(
        base.reference,
        ["-c", script],
        ["/bin/sh"],
        user="0:0",
        tmpfs={"/tmp": "size=1g,mode=1777"},  # noqa: S108
        environment=access.proxies,
        network="host" if access.on_loopback else None,
    )
    ended, output = run_to_end(connection, spec, seconds=900)
    if ended.exit_code:
        raise _refused(names, output)
    return output


def _on_host(suite: str, names: Sequence[str], log: Log) -> str:
    from prebake.bootstrap import debian_packages  # only for a base without apt

    try:
        with tempfile.TemporaryDirectory(prefix="prebake-apt-") as folder:
            options = debian_packages.suite_options(suite, Path(folder), log)
            environment = debian_packages.environment()
            return "\n".join(
                subprocesses.run(command, env=environment).stdout for command in commands(folder, names, options)
            )
    except CommandFailed as failed:
        raise _refused(names, failed.finished.stderr or failed.message) from failed
    except (EngineUnavailable, KeyError) as error:
        raise SystemPackageError(
            f"Neither the base nor this machine has an apt that can resolve Debian packages ({error}).",
            next_action="run `prebake lock` on Debian, or use a base image with apt (such as python:3.11-slim-bookworm)",
        ) from error


def _refused(names: Sequence[str], output: str) -> SystemPackageError:
    messages = [line for line in output.splitlines() if line.startswith(("E:", "W:", "Err"))] or output.splitlines()[
        -5:
    ]
    return SystemPackageError(
        "\n".join([f"apt cannot install {' '.join(names)}:", *(f"  {line}" for line in messages)]),
        next_action=_CORRECT_NAMES,
    )


def _read(text: str) -> AptPackages:
    _, in_base, requested, rest = text.split(f"{_MARK}", 3)
    fields, _, sources = rest.partition(f"{_MARK}sources")
    present = set(_uris(in_base))
    known = dict(_stanzas(fields))
    archives: dict[str, None] = {}
    packages = []
    for uri in _uris(requested):
        package = known[unquote(uri).rpartition("/")[2]]
        archive = unquote(uri).removesuffix(unquote(package.path)).rstrip("/")
        archives.setdefault(archive)
        if uri not in present:
            packages.append(replace(package, archive=archive))
    snapshots = dict.fromkeys(_SNAPSHOT.findall(sources))
    return AptPackages((*archives, *snapshots), tuple(sorted(packages, key=lambda package: package.name)))


def _uris(text: str) -> list[str]:
    return re.findall(r"^'(\S+\.deb)' ", text, re.MULTILINE)


def _stanzas(text: str) -> Iterator[tuple[str, LockedPackage]]:
    """Packages by the names of their files, the last parts of URLs."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Filename|Size|SHA256): (.+)$", stanza, re.MULTILINE))
        if len(fields) == 6 and fields["Architecture"] in (host_architecture(), "all"):
            package = LockedPackage(
                fields["Package"], fields["Version"], fields["Filename"], int(fields["Size"]), fields["SHA256"], ""
            )
            yield package.path.rpartition("/")[2], package
