"""``prebake bench``: fresh containers in turn, ours and the naive image, on the same weights and request."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from prebake.measure.bounds import STEADY_TIMES, TTFI_TIMES, Bound, compare
from prebake.measure.floor import Floor, measure_floor
from prebake.measure.imports import import_seconds
from prebake.measure.ports import Launcher
from prebake.measure.starting import Start, first_answer, time_first_answer, time_ready
from prebake.measure.statistics import Summary, summarise
from prebake.measure.steady import Steady, time_steady
from prebake.measure.warmup import Warmup, read_warmup


@dataclass(frozen=True)
class Bench:
    """What a benchmark found; every duration in seconds, the lists by run."""

    image: str
    naive_image: str
    cache: str
    ours: Sequence[Start]
    naive: Sequence[Start]
    ready: Sequence[float]
    startups: Sequence[Mapping[str, Any]]
    floor: Floor
    steady: Steady
    load: tuple[float, float]
    """What ran on the machine on average in the minute before the first run, and in the last one, this benchmark included."""

    @property
    def ttfi(self) -> Summary:
        return summarise([start.ttfi for start in self.ours])

    @property
    def naive_ttfi(self) -> Summary:
        return summarise([start.ttfi for start in self.naive])

    @property
    def ratio(self) -> float:
        return self.naive_ttfi.median / self.ttfi.median

    @property
    def ready_over_floor(self) -> float:
        return median(self.ready) / self.floor.seconds

    @property
    def imports(self) -> Summary:
        return summarise([import_seconds(startup) for startup in self.startups])

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        naive, ours = ([start.ttfi for start in starts] for starts in (self.naive, self.ours))
        return (
            compare("first answer", TTFI_TIMES, naive, ours),
            compare("steady state", STEADY_TIMES, self.steady.naive, self.steady.ours),
        )

    def document(self) -> dict[str, Any]:
        """The JSON that ``make bench`` writes."""
        ttfi, steady = self.bounds
        return {
            "image": self.image,
            "naive_image": self.naive_image,
            "page_cache": self.cache,
            "load_average": {"before": self.load[0], "after": self.load[1]},
            "ttfi_seconds": self.ttfi.median,
            "naive_ttfi_seconds": self.naive_ttfi.median,
            "ready_seconds": median(self.ready),
            "floor_seconds": self.floor.seconds,
            "import_seconds": self.imports.median,
            "ratio": self.ratio,
            "ratio_interval_95": list(ttfi.interval),
            "ready_over_floor": self.ready_over_floor,
            "floor": asdict(self.floor),
            "ttfi": asdict(self.ttfi),
            "naive_ttfi": asdict(self.naive_ttfi),
            "steady_seconds": median(self.steady.ours),
            "naive_steady_seconds": median(self.steady.naive),
            "steady_ratio": steady.ratio,
            "steady_ratio_interval_95": list(steady.interval),
            "steady": asdict(summarise(self.steady.ours)),
            "naive_steady": asdict(summarise(self.steady.naive)),
            "bounds": [bound.document() for bound in self.bounds],
            "phases": self.startups[-1].get("phases", []),
            "runs": [
                {
                    "ttfi_seconds": ours.ttfi,
                    "naive_ttfi_seconds": naive.ttfi,
                    "ready_seconds": ready,
                    "live_seconds": ours.live,
                }
                for ours, naive, ready in zip(self.ours, self.naive, self.ready, strict=True)
            ],
        }


def run_bench(
    launcher: Launcher,
    image: str,
    naive_image: str,
    *,
    runs: int,
    tell: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
    cache: str = "warm",
) -> Bench:
    """Alternate the two images, so that a drift of the machine falls on both. ``before`` is called before each start.

    While the naive container starts, ours waits; then both are asked in turn what they answered already.
    """
    before_all = os.getloadavg()[0]
    warmup = read_warmup(launcher, image)
    ours: list[Start] = []
    naive: list[Start] = []
    ready: list[float] = []
    startups: list[Mapping[str, Any]] = []
    steady: list[Steady] = []
    _warm_cache(launcher, (image, naive_image), warmup) if cache == "warm" else None
    for run in range(runs):
        before()
        with launcher.start(image) as container:
            ours.append(first_answer(container, warmup, image))
            before()
            with launcher.start(naive_image) as other:
                naive.append(first_answer(other, warmup, naive_image))
                steady.append(time_steady(container, other, warmup))
        before()
        seconds, startup = time_ready(launcher, image)
        ready.append(seconds)
        startups.append(startup)
        tell(
            f"run {run + 1}/{runs}: ready {ready[-1]:.2f} s, TTFI {ours[-1].ttfi:.2f} s, naive {naive[-1].ttfi:.2f} s, "
            f"then {median(steady[-1].ours):.3f} s, naive {median(steady[-1].naive):.3f} s"
        )
    every = Steady([s for each in steady for s in each.ours], [s for each in steady for s in each.naive])
    load = before_all, os.getloadavg()[0]
    floor = measure_floor(launcher, image, median(every.ours))
    return Bench(image, naive_image, cache, ours, naive, ready, startups, floor, every, load)


def _warm_cache(launcher: Launcher, images: Sequence[str], warmup: Warmup) -> None:
    """One start of each that is not counted: afterwards the page cache holds both."""
    for image in images:
        time_first_answer(launcher, image, warmup, steady_runs=0)


def table(bench: Bench) -> str:
    """The benchmark for a person."""
    rows = [
        ("", "median", "p95", "min", "max"),
        ("naive TTFI", *_cells(bench.naive_ttfi)),
        ("Prebake TTFI", *_cells(bench.ttfi)),
        ("Prebake ready", *_cells(summarise(bench.ready))),
        ("its imports", *_cells(bench.imports)),
        ("floor", f"{bench.floor.seconds:.2f}", "", "", ""),
        ("naive steady", *_cells(summarise(bench.steady.naive), 3)),
        ("Prebake steady", *_cells(summarise(bench.steady.ours), 3)),
    ]
    lines = ["  ".join([row[0].ljust(14), *(cell.rjust(7) for cell in row[1:])]).rstrip() for row in rows]
    lines += [bound.line() for bound in bench.bounds]
    lines.append(
        f"ready / floor {bench.ready_over_floor:.2f}; {len(bench.ours)} runs each, {len(bench.steady.ours)} later requests, "
        f"page cache {bench.cache}, load {bench.load[0]:.1f} before and {bench.load[1]:.1f} after, seconds"
    )
    return "\n".join(lines)


def _cells(summary: Summary, digits: int = 2) -> tuple[str, ...]:
    return tuple(f"{value:.{digits}f}" for value in (summary.median, summary.p95, summary.minimum, summary.maximum))
