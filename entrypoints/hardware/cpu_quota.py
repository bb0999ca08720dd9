"""The CPUs that this process may use: its affinity, and the quota of its control group (cgroup v2, ``cpu.max``)."""

from __future__ import annotations

import math
import os
from pathlib import Path


def count_cpus(cgroup_root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """The number of threads to start, at least 1. A part of a CPU counts as a whole one, or its time would be lost."""
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), find_quota(cgroup_root, membership))))


def find_quota(cgroup_root: Path, membership: Path) -> float:
    """The smallest quota from this process's group up to the root, in CPUs; infinite if none is set.

    Every level counts: a pod's limit may be set on the parent of the container's group.
    """
    quota = math.inf
    group = cgroup_root / read_membership(membership)
    for folder in (group, *group.parents):
        quota = min(quota, read_quota(folder / "cpu.max"))
        if folder == cgroup_root:
            break
    return quota


def read_membership(path: Path) -> str:
    """The group's path without its leading slash; empty in a cgroup namespace, where the group is the root."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    unified = [line[3:] for line in lines if line.startswith("0::")]
    return unified[0].lstrip("/") if unified and ".." not in unified[0] else ""


def read_quota(path: Path) -> float:
    try:
        quota, period = path.read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
