"""A built image proved: started a few times, asked, compared with the framework's answer, timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.starting import Start, time_first_answer, time_ready
from prebake.measure.warmup import read_warmup

STARTS = 3


@dataclass(frozen=True)
class Measured:
    """What a few starts of a built image showed; ``ready`` in seconds, ``startup`` the server's account of the last."""

    starts: Sequence[Start]
    ready: Sequence[float]
    startup: Mapping[str, Any]
    floor: Floor


def measure_start(launcher: Launcher, image: str) -> Measured:
    """A few fresh starts: for the report, not a benchmark. The first warms the page cache and is not counted."""
    warmup = read_warmup(launcher, image)
    time_first_answer(launcher, image, warmup, steady_runs=0)
    starts = [time_first_answer(launcher, image, warmup) for _ in range(STARTS)]
    readies = [time_ready(launcher, image) for _ in range(STARTS)]
    floor = measure_floor(launcher, image, median(start.steady for start in starts))
    return Measured(starts, [seconds for seconds, _ in readies], readies[-1][1], floor)
