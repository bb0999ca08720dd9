"""``prebake bench``: fresh containers in turn, of our image and of the naive image, with the same weights and request."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from prebake.measure.bench.limits import MIN_STEADY_RATIO, MIN_TTFI_RATIO, Bound, compare
from prebake.measure.bench.statistics import Summary, summarize
from prebake.measure.bench.steady_state import SteadyTimings, time_steady
from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.report.import_time import import_seconds
from prebake.measure.start import Start, median_start, time_first_answer, time_first_request, time_ready
from prebake.measure.warmup_request import WarmupRequest, read_warmup


@dataclass(frozen=True)
class BenchResult:
    """The result of a benchmark: durations in seconds, lists by run."""

    image: str
    naive_image: str
    cache: str
    ours: Sequence[Start]
    naive: Sequence[Start]
    ready: Sequence[float]
    startups: Sequence[Mapping[str, Any]]
    floor: Floor
    steady: SteadyTimings
    load: tuple[float, float]
    """The load average of the minute before the first run, and of the last minute, which includes this benchmark."""

    @property
    def ttfi(self) -> Summary:
        return summarize([start.ttfi for start in self.ours])

    @property
    def naive_ttfi(self) -> Summary:
        return summarize([start.ttfi for start in self.naive])

    @property
    def ratio(self) -> float:
        return self.naive_ttfi.median / self.ttfi.median

    @property
    def ready_over_floor(self) -> float:
        return median(self.ready) / self.floor.seconds

    @property
    def imports(self) -> Summary:
        return summarize([import_seconds(startup) for startup in self.startups])

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        naive, ours = ([start.ttfi for start in starts] for starts in (self.naive, self.ours))
        return (
            compare("first answer", MIN_TTFI_RATIO, naive, ours),
            compare("steady state", MIN_STEADY_RATIO, self.steady.naive, self.steady.ours),
        )

    def document(self) -> dict[str, Any]:
        """The JSON document that ``make bench`` writes."""
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
            "steady": asdict(summarize(self.steady.ours)),
            "naive_steady": asdict(summarize(self.steady.naive)),
            "bounds": [bound.document() for bound in self.bounds],
            **median_start(list(zip(self.ready, self.startups, strict=True))),
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
    log: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
    cache: str = "warm",
) -> BenchResult:
    """Alternate the two images, so that a change of the machine's speed affects both. ``before`` is called before each start.

    Our container is idle while the naive one starts; then both get the same request again, in turn.
    """
    before_all = os.getloadavg()[0]
    warmup = read_warmup(launcher, image)
    ours: list[Start] = []
    naive: list[Start] = []
    ready: list[float] = []
    startups: list[Mapping[str, Any]] = []
    steady: list[SteadyTimings] = []
    _warm_cache(launcher, (image, naive_image), warmup) if cache == "warm" else None
    for run in range(runs):
        before()
        with launcher.start(image) as container:
            ours.append(time_first_request(container, warmup, image))
            before()
            with launcher.start(naive_image) as other:
                naive.append(time_first_request(other, warmup, naive_image))
                steady.append(time_steady(container, other, warmup))
        before()
        seconds, startup = time_ready(launcher, image)
        ready.append(seconds)
        startups.append(startup)
        log(
            f"run {run + 1}/{runs}: ready {ready[-1]:.2f} s, TTFI {ours[-1].ttfi:.2f} s, naive {naive[-1].ttfi:.2f} s, "
            f"then {median(steady[-1].ours):.3f} s, naive {median(steady[-1].naive):.3f} s"
        )
    every = SteadyTimings([s for each in steady for s in each.ours], [s for each in steady for s in each.naive])
    load = before_all, os.getloadavg()[0]
    floor = measure_floor(launcher, image, median(every.ours))
    return BenchResult(image, naive_image, cache, ours, naive, ready, startups, floor, every, load)


def _warm_cache(launcher: Launcher, images: Sequence[str], warmup: WarmupRequest) -> None:
    """Start each image once without counting it: afterwards the page cache holds both."""
    for image in images:
        time_first_answer(launcher, image, warmup, steady_runs=0)


def format_table(bench: BenchResult) -> str:
    """The benchmark as text."""
    rows = [
        ("", "median", "p95", "min", "max"),
        ("naive TTFI", *_cells(bench.naive_ttfi)),
        ("Prebake TTFI", *_cells(bench.ttfi)),
        ("Prebake ready", *_cells(summarize(bench.ready))),
        ("its imports", *_cells(bench.imports)),
        ("floor", f"{bench.floor.seconds:.2f}", "", "", ""),
        ("naive steady", *_cells(summarize(bench.steady.naive), 3)),
        ("Prebake steady", *_cells(summarize(bench.steady.ours), 3)),
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
