"""The duration of a request once a container is warm: two containers that have answered take turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from prebake.measure.ports import RunningContainer
from prebake.measure.start import time_later_request
from prebake.measure.warmup_request import WarmupRequest

STEADY_REQUESTS = 3
"""Requests to each container in a run that count. One more comes before them and does not."""
PAUSE_SECONDS = 0.02
"""The pause between two requests: OpenMP threads, by which torch computes, spin for some milliseconds after their work."""


@dataclass(frozen=True)
class SteadyTimings:
    """Seconds of the same request, the same number for each container."""

    ours: Sequence[float]
    naive: Sequence[float]


def time_steady(
    ours: RunningContainer, naive: RunningContainer, warmup: WarmupRequest, *, requests: int = STEADY_REQUESTS
) -> SteadyTimings:
    """Send requests in turn: one container waits while the other computes, so that each has all cores."""
    taken: tuple[list[float], list[float]] = ([], [])
    for request in range(requests + 1):
        for container, seconds in zip((ours, naive), taken, strict=True):
            time.sleep(PAUSE_SECONDS)
            duration = time_later_request(container, warmup)
            if request:
                seconds.append(duration)
    return SteadyTimings(*taken)
