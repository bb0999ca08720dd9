"""Two containers that have answered already, asked again in turn: what a request costs once all is warm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from prebake.measure.ports import Running
from prebake.measure.starting import steady_answer
from prebake.measure.warmup import Warmup

REQUESTS = 3
"""Counted ones of each container in a run; one before them is not."""
PAUSE_SECONDS = 0.02
"""Between two requests: OpenMP's threads, which torch computes with, spin for some milliseconds after their work."""


@dataclass(frozen=True)
class Steady:
    """Seconds of the same request, both containers asked as often."""

    ours: Sequence[float]
    naive: Sequence[float]


def time_steady(ours: Running, naive: Running, warmup: Warmup, *, requests: int = REQUESTS) -> Steady:
    """One container waits while the other works, so that each has all cores."""
    taken: tuple[list[float], list[float]] = ([], [])
    for request in range(requests + 1):
        for container, seconds in zip((ours, naive), taken, strict=True):
            time.sleep(PAUSE_SECONDS)
            found = steady_answer(container, warmup)
            if request:
                seconds.append(found)
    return Steady(*taken)
