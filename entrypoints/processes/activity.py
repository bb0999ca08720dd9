"""Whether a process and its children do anything, as the kernel shows it. Only starts that lack a thread ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

WAITS = "SIt"
"""States of a thread that waits for an event (proc(5)); one that reads a disk is in state D."""


def measure_activity(process: int, root: Path = Path("/proc")) -> tuple[int, bool]:
    """Clock ticks that the process and its children have computed, and whether one of their threads computes or reads now."""
    ticks, busy = 0, False
    for state, computed in read_threads(process, root):
        ticks += computed
        busy = busy or state not in WAITS
    return ticks, busy


def read_threads(process: int, root: Path) -> Iterator[tuple[str, int]]:
    """The state and the ticks of each thread, of the children's too."""
    try:
        tasks = list((root / str(process) / "task").iterdir())
    except OSError:  # it has ended
        return
    for task in tasks:
        try:
            fields = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()
            children = (task / "children").read_text().split()
        except OSError:
            continue
        yield fields[0], int(fields[11]) + int(fields[12])
        for child in children:
            yield from read_threads(int(child), root)
