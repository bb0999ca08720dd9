"""A built image proved: started a few times, asked, compared with the framework's answer, timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.starting import Start, time_first_answers, time_ready
from prebake.measure.warmup import read_warmups

STARTS = 3


@dataclass(frozen=True)
class Measured:
    """What a few starts of a built image showed, by model; ``ready`` in seconds, ``startup`` the server's account of the
    last."""

    starts: Mapping[str, Sequence[Start]]
    ready: Sequence[float]
    startup: Mapping[str, Any]
    floor: Floor

    @property
    def ttfi(self) -> float:
        """Seconds until every model had answered."""
        runs = zip(*self.starts.values(), strict=True)
        return float(median(max(start.ttfi for start in run) for run in runs))

    @property
    def difference(self) -> float:
        """The largest from a reference."""
        return max(start.difference for starts in self.starts.values() for start in starts)


def measure_start(launcher: Launcher, image: str) -> Measured:
    """A few fresh starts: for the report, not a benchmark. The first warms the page cache and is not counted."""
    warmups = read_warmups(launcher, image)
    time_first_answers(launcher, image, warmups, steady_runs=0)
    runs = [time_first_answers(launcher, image, warmups) for _ in range(STARTS)]
    starts = {name: [run[name] for run in runs] for name in warmups}
    readies = [time_ready(launcher, image) for _ in range(STARTS)]
    # Of several models the slowest: their answers may be had side by side.
    floor = measure_floor(launcher, image, max(median(start.steady for start in each) for each in starts.values()))
    return Measured(starts, [seconds for seconds, _ in readies], readies[-1][1], floor)
