"""Docker Engine's programs from Debian's packages, unpacked into a private Engine's folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from prebake.bootstrap import debian_packages
from prebake.bootstrap.engine_folder import EngineFolder, engine_folder
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.file_lock import hold_lock, log_wait
from prebake.io.log import Log
from prebake.io.subprocesses import CommandFailed

# The first suite whose Engine loads on this machine's libc is used: older Engines have less of the containerd image store.
_SUITES = ("forky", "trixie")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd")


def find_programs(host: str, log: Log) -> str:
    """A PATH with dockerd, for another Engine like the one at ``host``: that of the private Engine if ``host`` is its address,
    else the machine's own. If the machine has none, the private Engine's programs are used, and unpacked if they are missing.

    Raises EngineUnavailable if it has none and they cannot be unpacked, or CommandFailed.
    """
    private = engine_folder()
    path = os.pathsep.join([os.environ.get("PATH", ""), SYSTEM_PATH])
    if host != private.host and shutil.which("dockerd", path=path):
        return path
    if not private.cli.exists():
        with hold_lock(private.home / "lock", log_wait(log, f"the private engine in {private.home}")):
            try:
                install_programs(private, log)
            except EngineUnavailable as error:
                raise EngineUnavailable(
                    "This machine has no dockerd to start another Engine, and no Debian packages of one.",
                    next_action="install the package of Docker Engine (docker-ce or docker.io) on this machine",
                ) from error
    return os.pathsep.join([str(private.programs), path])


def install_programs(engine: EngineFolder, log: Log) -> None:
    """Unpack the programs, unless they are there, in a folder that gets its name when it is whole. iptables and
    ca-certificates are installed into the system if they are missing.

    Raises EngineUnavailable or CommandFailed.
    """
    debian_packages.require_debian()
    missing = [name for name, present in _system_packages().items() if not present]
    if missing:
        debian_packages.install(missing, log)
    if engine.cli.exists():
        return
    root = engine.home / "root.new"
    log(f"engine: unpacking Docker Engine from Debian's packages into {engine.home}")
    _unpack_loadable(root, log)
    debian_packages.unpack(["runc", "tini"], root, log)  # of this machine's own release: runc links libseccomp
    shutil.rmtree(engine.home / "root", ignore_errors=True)
    root.rename(engine.home / "root")
    _link_programs(engine)


def _system_packages() -> dict[str, bool]:
    """The packages that have to be installed, and whether they are."""
    programs = "/usr/sbin:/sbin:/usr/bin:/bin"
    return {
        "iptables": shutil.which("iptables", path=programs) is not None,
        "ca-certificates": Path("/etc/ssl/certs/ca-certificates.crt").exists(),
    }


def _unpack_loadable(root: Path, log: Log) -> None:
    reasons = []
    for suite in _SUITES:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        try:
            debian_packages.unpack(_PACKAGES, root, log, suite=suite)
        except CommandFailed as failed:
            reasons.append(f"{suite}: {failed.message}")
            continue
        programs = (root / "usr/sbin/dockerd", root / "usr/bin/containerd")
        broken = [str(program) for program in programs if not _loads(program)]
        if not broken:
            return
        reasons.append(f"{suite}: does not load on this machine's libraries: {', '.join(broken)}")
    raise EngineUnavailable(
        "\n  ".join(["No Docker Engine among Debian's packages runs on this machine:", *reasons]),
        next_action="install Docker Engine 23 or newer with buildx and start it, then run this again",
    )


def _loads(program: Path) -> bool:
    """Whether this machine has every library that the program links."""
    ended = subprocesses.run(["ldd", program], check=False)
    return ended.exit_code == 0 and "not found" not in ended.stdout + ended.stderr


def _link_programs(engine: EngineFolder) -> None:
    plugins = engine.config / "cli-plugins"
    for folder in (engine.programs, plugins):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    root = engine.home / "root" / "usr"
    for plugin in (root / "libexec/docker/cli-plugins").iterdir():
        (plugins / plugin.name).symlink_to(plugin)
    (engine.config / "config.json").write_text("{}\n")
    programs = [file for folder in ("sbin", "bin") for file in (root / folder).iterdir() if file.name != "docker"]
    for file in [*programs, root / "bin/docker"]:  # docker last: its link says that the others are there
        link = engine.programs / file.name
        if not link.is_symlink():
            link.symlink_to(file)
