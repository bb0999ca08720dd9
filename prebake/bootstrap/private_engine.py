"""A private Docker Engine from Debian's packages, for a Debian machine on which none answers: start, stop and remove it.

Everything lies in one folder: programs unpacked from packages, images, sockets, logs. Only iptables and ca-certificates are
installed into the system, if they are missing. Other Engines on the machine keep their bridges, packet rules and processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from prebake.bootstrap import engine_network
from prebake.bootstrap.engine_folder import EngineFolder, engine_answers, engine_folder
from prebake.bootstrap.engine_process import require_short_path, start_dockerd, wait_for_answer
from prebake.bootstrap.engine_programs import SYSTEM_PATH, install_programs
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.file_lock import hold_lock, log_wait
from prebake.io.log import Log, log_to_stderr
from prebake.io.subprocesses import CommandFailed

_STOP_SECONDS = 30.0


def up(home: Path | None = None, log: Log = log_to_stderr) -> EngineFolder:
    """Start the private Engine, unless it answers already. If two processes start it, the second waits for the first.

    Raises EngineUnavailable if it cannot be installed or does not start.
    """
    engine = engine_folder(home)
    require_short_path(engine)
    with hold_lock(engine.home / "lock", log_wait(log, f"the private engine in {engine.home}")):
        if engine_answers(engine.host):
            log(f"engine: {engine.host} already answers")
            return engine
        try:
            install_programs(engine, log)
            _clear_stale_files(engine, log)
            _start(engine, log)
        except CommandFailed as failed:
            raise EngineUnavailable(
                f"The private Engine cannot be started: {failed.message}", next_action=failed.next_action
            ) from failed
    return engine


def down(home: Path | None = None, log: Log = log_to_stderr) -> bool:
    """Stop the Engine that ``up`` started, and undo its network. True if it ran."""
    engine = engine_folder(home)
    with hold_lock(engine.home / "lock", log_wait(log, f"the private engine in {engine.home}")):
        pid = _find_process(engine.pidfile, engine)
        if pid is not None:
            log(f"engine: stopping {engine.host}")
            _stop(pid)
        _clear_stale_files(engine, log)
        engine_network.tear_down(engine.network_record)
    return pid is not None


def remove(home: Path | None = None, log: Log = log_to_stderr) -> None:
    """Stop the Engine and delete its folder with all its images."""
    down(home, log)
    engine = engine_folder(home)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        mount_point = line.split()[1]
        if Path(mount_point).is_relative_to(engine.home):
            subprocesses.run(["umount", "-l", mount_point], log=log)
    shutil.rmtree(engine.home)


def _clear_stale_files(engine: EngineFolder, log: Log) -> None:
    """Remove the pid files of processes that are gone, or whose number another program has now: dockerd would refuse to
    start."""
    for file in (engine.pidfile, engine.run / "exec" / "containerd" / "containerd.pid"):
        if file.exists() and _find_process(file, engine) is None:
            log(f"engine: removing stale {file}")
            file.unlink()
    if _find_process(engine.pidfile, engine) is None:
        (engine.run / "docker.sock").unlink(missing_ok=True)


def _find_process(pidfile: Path, engine: EngineFolder) -> int | None:
    """The process that a pid file names, if it runs and its command line names the Engine's folder."""
    try:
        pid = int(pidfile.read_text())
        return pid if str(engine.home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None


def _start(engine: EngineFolder, log: Log) -> None:
    running = _find_process(engine.pidfile, engine)
    if running is not None:
        log(f"engine: process {running} is running but does not answer; stopping it")
        _stop(running)
    engine.run.mkdir(parents=True, exist_ok=True)
    engine_network.tear_down(engine.network_record)
    # The Engine remembers its bridge's addresses, and would restore them although another range is chosen now.
    shutil.rmtree(engine.home / "data" / "network", ignore_errors=True)
    network = engine_network.choose(engine.home)
    engine_network.set_up(network, engine.network_record, log)
    environment = {**os.environ, "PATH": f"{engine.programs}:{SYSTEM_PATH}"}
    child = start_dockerd(engine, [engine.programs / "dockerd"], _settings(network), environment, log)
    try:
        wait_for_answer(engine, child)
    except EngineUnavailable:
        child.kill()
        child.wait()
        engine_network.tear_down(engine.network_record)
        raise
    log(f"engine: started {engine.host}, log in {engine.log_file}")
    child.returncode = 0  # it outlives this process: without a code, Popen would warn about a running child


def _settings(network: engine_network.Network) -> dict[str, str]:
    return {
        # a containerd of the system is shared if one runs: names of our own keep its images apart from ours
        "containerd-namespace": f"prebake-{network.bridge}",
        "containerd-plugins-namespace": f"prebake-{network.bridge}-plugins",
        "bridge": network.bridge,
        # no default-address-pools: with them a second start deletes docker0, even another Engine's (moby's daemon_unix.go)
    }


def _stop(pid: int) -> None:
    """End a process and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if not _is_running(pid):
                return
            time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
