"""The CPUs that this process may use: its affinity, and the quota of its control groups (``cpu.max``, ``cpu.cfs_quota_us``)."""

from __future__ import annotations

import math
import os
from pathlib import Path

from entrypoints.hardware.cgroup import MEMBERSHIP, ROOT, find_group, read_text


def count_cpus(cgroup_root: Path = ROOT, membership: Path = MEMBERSHIP) -> int:
    """The number of threads to start, at least 1. A part of a CPU counts as a whole one, or its time would be lost."""
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), find_quota(cgroup_root, membership))))


def find_quota(cgroup_root: Path, membership: Path) -> float:
    """The smallest quota from this process's group up to the root, in CPUs; infinite if none is set."""
    group = find_group("cpu", cgroup_root, membership)
    return min(read_quota(level, group.version) for level in group.levels)


def read_quota(folder: Path, version: int) -> float:
    """Version 1 writes -1 if there is no quota, version 2 ``max``."""
    names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join(read_text(folder / name) for name in names).split()
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
