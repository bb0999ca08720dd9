"""Nodes without images: all that one could leave behind on the machine, and a program that runs one until it is stopped."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prebake.bootstrap.disposable_engine import control_group
from prebake.bootstrap.engine_folder import EngineFolder

PROGRAM = """
import signal, sys
from prebake.docker.connection import find_engine
from prebake.workflow.absent.launcher import absent_launcher

def stop(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
_, image, rate = sys.argv
with absent_launcher(find_engine(), [image], int(rate)) as launcher:
    print(launcher.folder, flush=True)
    with launcher.start(image):
        print("started", flush=True)
        sys.stdin.read()
"""
"""Print the folder of a node, start an image there, and wait. Arguments: the image, and the link's bits per second."""


def find_traces(folder: Path) -> list[str]:
    """Processes of the node with this folder, its mounts, its control groups, and the folder itself."""
    group = control_group(EngineFolder(folder))
    groups = [str(path) for pattern in (group, f"*/{group}") for path in Path("/sys/fs/cgroup").glob(pattern)]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]
    return [*_processes(folder), *mounts, *groups, *([str(folder)] if folder.exists() else [])]


def network_of(process: int | str = "self") -> str:
    """The network namespace of a process, such as ``net:[4026531840]``."""
    return str(Path(f"/proc/{process}/ns/net").readlink())


def processes_in(network: str) -> list[str]:
    """The processes that are in a network namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if network_of(process.name) == network:
                found.append(process.name)
    return found


def engine_networks(folder: Path) -> set[str]:
    """The network namespaces of the node's processes."""
    found = set()
    for line in _processes(folder):
        with suppress(OSError):
            found.add(network_of(line.partition(" ")[0]))
    return found


def _processes(folder: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line:
                found.append(f"{file.parent.name} {line}")
    return found
