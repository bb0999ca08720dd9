"""Metrics of the container's processes, with the names that Prometheus' client libraries use. Read from proc(5)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from entrypoints.server.metrics.text_format import Family, Sample

PROC = Path("/proc")


class ProcessTime:
    """The processor time of all processes, those that have ended included. It never falls: a counter that does has restarted,
    for Prometheus."""

    def __init__(self) -> None:
        self._largest = 0.0

    def measure(self, processes: Iterable[str]) -> float:
        """``processes``: parents before their children, so that a child that ends meanwhile is not counted twice."""
        self._largest = max(self._largest, sum(map(measure_cpu_seconds, processes)))
        return self._largest


class Files(NamedTuple):
    """Open files of the server process, which has the connections."""

    opened: int
    limit: int | None
    """None if there is none."""


def list_families(started: float, time: ProcessTime, models: Iterable[int]) -> Iterator[Family]:
    """``started``: in seconds since the epoch. ``models``: the ids of the model processes."""
    processes = list_processes(models)
    yield Family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of all processes of the container's server, those that decode files included; pages that several "
        "processes share count for each.",
        [Sample(sum(map(measure_resident_bytes, processes)))],
    )
    yield Family(
        "process_cpu_seconds_total",
        "counter",
        "User and system time of all processes of the container's server, those that have ended included.",
        [Sample(time.measure(processes))],
    )
    yield Family(
        "process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970.", [Sample(started)]
    )
    files = count_files()
    yield Family(
        "process_open_fds",
        "gauge",
        "Open files of the server process, connections of clients included.",
        [Sample(files.opened)],
    )
    yield Family(
        "process_max_fds",
        "gauge",
        "The most files that the server process may have open.",
        [Sample(files.limit)] if files.limit is not None else [],
    )


def list_processes(models: Iterable[int]) -> list[str]:
    """The server process and all below it: model processes, and the processes that decode files. Kernels without
    ``/proc/PID/task/TID/children`` show the model processes alone."""
    found = [str(os.getpid())]
    for process in found:  # it grows meanwhile
        found += find_children(process)
    return list(dict.fromkeys([*found, *map(str, models)]))


def find_children(process: str) -> list[str]:
    children: list[str] = []
    with suppress(OSError):  # it has ended
        for task in (PROC / process / "task").iterdir():
            with suppress(OSError):
                children += (task / "children").read_text().split()
    return children


def measure_cpu_seconds(process: str) -> float:
    """User and system time of a process and of its children that have ended (/proc/PID/stat, fields 14 to 17); 0 if gone."""
    with suppress(OSError):
        fields = (PROC / process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def measure_resident_bytes(process: str) -> int:
    """0 if it has ended."""
    with suppress(OSError):
        return int((PROC / process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def count_files() -> Files:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 (the listing has one itself)
    return Files(opened, None if soft == resource.RLIM_INFINITY else soft)
