"""A private Docker Engine from Debian's packages, for a Debian machine where none answers.

Everything lies under one folder: programs unpacked from packages, images, sockets, logs. Into the system itself go only
iptables and ca-certificates, where missing. Other engines on the machine are left alone: their bridge, rules and
processes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException
from requests import RequestException

from prebake import process
from prebake.disk import cache_folder
from prebake.engine import debian, network
from prebake.engine.lock import locked
from prebake.errors import EngineUnavailable
from prebake.process import CommandFailed, Narrator, narrate

# The newest that loads on this machine's libc wins: the older a release's Engine, the less of the image store it has.
_SUITES = ("forky", "trixie")
_ENGINE = ("docker.io", "docker-cli", "docker-buildx", "containerd")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LONGEST_HOME = 60  # a socket's path has at most 107 bytes (sun_path), and containerd adds its own to ours


@dataclass(frozen=True)
class PrivateEngine:
    """Where the parts of a private engine lie. Names only: whether it runs is asked by ``answers(engine.host)``."""

    home: Path

    @property
    def host(self) -> str:
        return f"unix://{self.run / 'docker.sock'}"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def programs(self) -> Path:
        return self.home / "bin"

    @property
    def config(self) -> Path:
        """The docker command's configuration folder, with buildx in it."""
        return self.home / "config"

    @property
    def cli(self) -> Path:
        return self.programs / "docker"

    @property
    def pidfile(self) -> Path:
        return self.run / "dockerd.pid"

    @property
    def log(self) -> Path:
        return self.run / "dockerd.log"


def at(home: Path | None = None) -> PrivateEngine:
    """The private engine of a folder, by default ``engine`` in the cache folder (``$PREBAKE_CACHE``, ``prebake/disk.py``)."""
    return PrivateEngine((home or cache_folder() / "engine").absolute())


def answers(host: str, *, seconds: float = 5.0) -> bool:
    """Whether an Engine at ``host`` answers a ping."""
    try:
        client = DockerClient(base_url=host, timeout=int(seconds))
    except (DockerException, RequestException):
        return False
    try:
        return bool(client.ping())
    except (DockerException, RequestException):
        return False
    finally:
        client.close()


def up(home: Path | None = None, say: Narrator = narrate) -> PrivateEngine:
    """Start the private engine, unless it answers already. Two at once: the second waits and uses the first's.

    Raises EngineUnavailable where it cannot be had or does not start.
    """
    engine = at(home)
    if len(str(engine.home)) > _LONGEST_HOME:
        raise EngineUnavailable(
            f"{engine.home}: too long for a socket's path", next_action="set PREBAKE_CACHE to a shorter path"
        )
    with locked(engine.home / "lock", what=f"the private engine in {engine.home}", say=say):
        if answers(engine.host):
            say(f"engine: {engine.host} answers already")
            return engine
        try:
            _install(engine, say)
            _clear_stale(engine, say)
            _start(engine, say)
        except CommandFailed as failed:
            raise EngineUnavailable(f"no private engine: {failed.message}", next_action=failed.next_action) from failed
    return engine


def down(home: Path | None = None, say: Narrator = narrate) -> bool:
    """Stop the engine that ``up`` started there, and undo its network. True where one was running."""
    engine = at(home)
    with locked(engine.home / "lock", what=f"the private engine in {engine.home}", say=say):
        pid = _our_process(engine.pidfile, str(engine.home))
        if pid is not None:
            say(f"engine: stopping {engine.host}")
            _stop(pid)
        _clear_stale(engine, say)
        network.tear_down(engine.home / "network.json")
    return pid is not None


def remove(home: Path | None = None, say: Narrator = narrate) -> None:
    """Stop it and delete its folder, images included."""
    down(home, say)
    engine = at(home)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if Path(place).is_relative_to(engine.home):
            process.run(["umount", "-l", place], say=say)
    shutil.rmtree(engine.home)


def _install(engine: PrivateEngine, say: Narrator) -> None:
    """Unpack the programs, in a folder that takes its final name only when it is whole."""
    debian.require_debian()
    missing = [name for name, there in _system_needs().items() if not there]
    if missing:
        debian.install(missing, say)
    if engine.cli.exists():
        return
    fresh = engine.home / "root.new"
    say(f"engine: unpacking Docker Engine from Debian's packages into {engine.home}")
    _unpack_loadable(fresh, say)
    debian.unpack(["runc", "tini"], fresh, say)  # of this machine's own release: runc links libseccomp
    shutil.rmtree(engine.home / "root", ignore_errors=True)
    fresh.rename(engine.home / "root")
    _link_programs(engine)


def _system_needs() -> dict[str, bool]:
    programs = "/usr/sbin:/sbin:/usr/bin:/bin"
    return {
        "iptables": shutil.which("iptables", path=programs) is not None,
        "ca-certificates": Path("/etc/ssl/certs/ca-certificates.crt").exists(),
    }


def _unpack_loadable(root: Path, say: Narrator) -> None:
    reasons = []
    for suite in _SUITES:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        try:
            debian.unpack(_ENGINE, root, say, suite=suite)
        except CommandFailed as failed:
            reasons.append(f"{suite}: {failed.message}")
            continue
        broken = [str(file) for file in (root / "usr/sbin/dockerd", root / "usr/bin/containerd") if not _loads(file)]
        if not broken:
            return
        reasons.append(f"{suite}: does not load on this machine's libraries: {', '.join(broken)}")
    raise EngineUnavailable(
        "\n  ".join(["no Docker Engine among Debian's packages runs here:", *reasons]),
        next_action="install Docker Engine 23 or newer with buildx and start it, then run this again",
    )


def _loads(program: Path) -> bool:
    found = process.run(["ldd", program], check=False)
    return found.exit_code == 0 and "not found" not in found.stdout + found.stderr


def _link_programs(engine: PrivateEngine) -> None:
    plugins = engine.config / "cli-plugins"
    for folder in (engine.programs, plugins):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    root = engine.home / "root" / "usr"
    for plugin in (root / "libexec/docker/cli-plugins").iterdir():
        (plugins / plugin.name).symlink_to(plugin)
    (engine.config / "config.json").write_text("{}\n")
    programs = [file for folder in ("sbin", "bin") for file in (root / folder).iterdir() if file.name != "docker"]
    for file in [*programs, root / "bin/docker"]:  # docker last: it says that the rest is there
        link = engine.programs / file.name
        if not link.is_symlink():
            link.symlink_to(file)


def _clear_stale(engine: PrivateEngine, say: Narrator) -> None:
    """Remove pid files of processes that are gone, or whose number another program has now; dockerd would refuse to
    start."""
    for file in (engine.pidfile, engine.run / "exec" / "containerd" / "containerd.pid"):
        if file.exists() and _our_process(file, str(engine.home)) is None:
            say(f"engine: removing stale {file}")
            file.unlink()
    if _our_process(engine.pidfile, str(engine.home)) is None:
        (engine.run / "docker.sock").unlink(missing_ok=True)


def _our_process(pidfile: Path, mark: str) -> int | None:
    """The process that a pid file names, if it runs and its command line holds ``mark``."""
    try:
        pid = int(pidfile.read_text())
        return pid if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None


def _start(engine: PrivateEngine, say: Narrator) -> None:
    running = _our_process(engine.pidfile, str(engine.home))
    if running is not None:
        say(f"engine: process {running} runs and does not answer; stopping it")
        _stop(running)
    engine.run.mkdir(parents=True, exist_ok=True)
    network.tear_down(engine.home / "network.json")
    # The Engine remembers its bridge's addresses, and would put them back where another range was chosen now.
    shutil.rmtree(engine.home / "data" / "network", ignore_errors=True)
    own = network.choose(engine.home)
    network.set_up(own, engine.home / "network.json", say)
    _write_settings(engine, own)
    path = f"{engine.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    command = (engine.programs / "dockerd", "--config-file", engine.home / "daemon.json")
    child = process.start_daemon(command, env={**os.environ, "PATH": path}, log=engine.log, say=say)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if answers(engine.host, seconds=2):
            say(f"engine: started {engine.host}, log in {engine.log}")
            child.returncode = 0  # it is to outlive us: no warning about a child that still runs
            return
        time.sleep(0.1)
    failure = _not_started(engine, child.poll())
    child.kill()
    child.wait()
    network.tear_down(engine.home / "network.json")
    raise failure


def _not_started(engine: PrivateEngine, code: int | None) -> EngineUnavailable:
    tail = "\n".join(f"  {line}" for line in engine.log.read_text(errors="replace").splitlines()[-12:])
    how = f"ended with code {code}" if code is not None else f"did not answer within {_START_SECONDS:g} s"
    return EngineUnavailable(f"the private engine {how}:\n{tail}", next_action=f"read {engine.log}")


def _write_settings(engine: PrivateEngine, own: network.Network) -> None:
    settings = {
        "features": {"containerd-snapshotter": True},
        "hosts": [engine.host],
        "data-root": str(engine.home / "data"),
        "exec-root": str(engine.run / "exec"),
        "pidfile": str(engine.pidfile),
        # a system containerd, where one runs, is shared: keep to a namespace of our own in it
        "containerd-namespace": f"prebake-{own.bridge}",
        "containerd-plugins-namespace": f"prebake-{own.bridge}-plugins",
        "bridge": own.bridge,
        "iptables": False,
        "ip6tables": False,
        # no default-address-pools: with them a second start deletes docker0, whosever it is (moby's daemon_unix.go)
    }
    (engine.home / "daemon.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def _stop(pid: int) -> None:
    """End a process and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if not _alive(pid):
                return
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
