"""The machine on which a benchmark ran, for its files."""

from __future__ import annotations

import os
import platform
from contextlib import closing
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection


def describe_machine(connection: Connection, load: tuple[float, float]) -> dict[str, Any]:
    """Processor, cores, memory in bytes, kernel, the Engine's version, and the load averages of the minute before the first start
    and of the last one."""
    with closing(connection.client()) as client:
        engine = str(client.version()["Version"])
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "engine": engine,
        "load_average": {"before": load[0], "after": load[1]},
    }


def _processor() -> str:
    """The model's name by /proc/cpuinfo, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "") or platform.machine()
