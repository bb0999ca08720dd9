"""A Docker Engine without images that ends as a whole: all its processes and mounts end with one process.

dockerd is the first process of a PID namespace, so the kernel ends its containerd, shims and containers with it, and of a mount
namespace, so that nothing stays mounted. It is killed if the process that started it ends, however that ends.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from prebake.bootstrap.engine_folder import EngineFolder
from prebake.bootstrap.engine_process import require_short_path, start_dockerd
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.log import Log
from prebake.io.subprocesses import Daemon

_SYSTEM_CONTAINERD = Path("/run/containerd")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_STOP_SECONDS = 30.0
# unshare does not exec dockerd but starts it, and ends when it ends
_ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
)


def start_engine(engine: EngineFolder, path: str, registry: str, log: Log) -> Daemon:
    """Start dockerd in the network namespace of the calling thread. That thread must have a mount namespace of its own, and live
    as long as the Engine. ``path`` is the PATH of dockerd. It pulls from ``registry``, addresses such as ``10.0.0.1/32``, by http
    and without a proxy.

    Raises EngineUnavailable or CommandFailed. The Engine may not answer yet.
    """
    require_short_path(engine)
    _hide_system_containerd()
    engine.run.mkdir()
    settings = {
        "insecure-registries": [registry],
        # no systemd driver: systemd would take the numbers of processes for those of its own PID namespace
        "cgroup-parent": f"/{control_group(engine)}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
    }
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return start_dockerd(engine, (*_ISOLATED, "dockerd"), settings, {**environment, "PATH": path}, log)


def stop_engine(engine: EngineFolder, child: Daemon) -> None:
    """End the Engine with all its containers, and wait until they are gone."""
    deadline = time.monotonic() + _STOP_SECONDS
    while child.poll() is None:
        for process in _children(child.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"The Engine of process {child.pid} does not end.",
                next_action="see `ps` for processes that wait for a disk",
            )
        time.sleep(0.02)
    remove_control_groups(engine)


def remove_control_groups(engine: EngineFolder) -> None:
    """Remove the control groups of an ended Engine's containers. A group is busy until the kernel has ended its processes."""
    deadline = time.monotonic() + _STOP_SECONDS
    while (groups := _control_groups(engine)) and time.monotonic() < deadline:
        for group in groups:
            with suppress(OSError):
                group.rmdir()
        time.sleep(0.02)


def _control_groups(engine: EngineFolder) -> list[Path]:
    """Innermost first. Version 1 has a tree for each controller, version 2 has one."""
    trees = [_CONTROL_GROUPS, *(path for path in _CONTROL_GROUPS.iterdir() if path.is_dir())]
    tops = [top for top in (tree / control_group(engine) for tree in trees) if top.is_dir()]
    return [group for top in tops for group in (*sorted((path for path in top.rglob("*/")), reverse=True), top)]


def control_group(engine: EngineFolder) -> str:
    """The parent of its containers' control groups."""
    return f"prebake-{hashlib.sha256(str(engine.home).encode()).hexdigest()[:12]}"


def _hide_system_containerd() -> None:
    """dockerd would use a containerd of the system, whose content is shared: it would not download blobs that another Engine
    has."""
    if _SYSTEM_CONTAINERD.exists():
        subprocesses.run(["mount", "--make-rprivate", "/"])
        subprocesses.run(["mount", "-t", "tmpfs", "tmpfs", _SYSTEM_CONTAINERD])


def _children(pid: int) -> list[int]:
    """The processes whose parent is ``pid``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
