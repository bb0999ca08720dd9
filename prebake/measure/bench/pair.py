"""Two images of one model compared, such as the builds after and before a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.bench.limits import MIN_AGAINST_RATIO, Bound, compare
from prebake.measure.bench.statistics import ratio_interval, summarize
from prebake.measure.ports import Launcher
from prebake.measure.start import time_first_answer, time_ready
from prebake.measure.warmup_request import WarmupRequest, read_warmup


@dataclass(frozen=True)
class Series:
    """The starts of one image, in seconds by run."""

    image: str
    ready: Sequence[float]
    ttfi: Sequence[float]


@dataclass(frozen=True)
class Pair:
    ours: Series
    theirs: Series
    cache: str = "warm"

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        """A start may be at most 5% slower than that of the other image."""
        return (
            compare("ready", MIN_AGAINST_RATIO, self.theirs.ready, self.ours.ready, "against"),
            compare("first answer", MIN_AGAINST_RATIO, self.theirs.ttfi, self.ours.ttfi, "against"),
        )

    def document(self) -> dict[str, Any]:
        """A ratio is their time divided by ours: above 1, ours is faster."""
        return {
            "image": self.ours.image,
            "against": self.theirs.image,
            "page_cache": self.cache,
            "bounds": [bound.document() for bound in self.bounds],
            "ready": _compare(self.theirs.ready, self.ours.ready),
            "ttfi": _compare(self.theirs.ttfi, self.ours.ttfi),
        }

    def table(self) -> str:
        """The comparison as text."""
        rows = [f"{'seconds, medians':18}{'against':>9}{'image':>9}   times faster (95% interval)"]
        for name, figures in (("ready", self.document()["ready"]), ("first answer", self.document()["ttfi"])):
            low, high = figures["ratio_interval_95"]
            before, after = figures["against_seconds"], figures["seconds"]
            rows.append(f"{name:18}{before:9.3f}{after:9.3f}   {figures['ratio']:.2f} ({low:.2f} to {high:.2f})")
        rows += [bound.line() for bound in self.bounds]
        runs = f"{len(self.ours.ready)} runs each, in turn, page cache {self.cache}; against {self.theirs.image}"
        return "\n".join([*rows, runs])


def run_pair(
    launcher: Launcher,
    image: str,
    against: str,
    *,
    runs: int,
    log: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
    cache: str = "warm",
) -> Pair:
    """Start both in turn, so that a change of the machine's speed affects both. Every answer is compared with the reference.

    The first start of each is not counted: afterwards the page cache holds both. ``before`` is called before each start; it
    drops that cache if the benchmark is of a ``cold`` one. Both may be the same image: then the ratio should be 1.
    """
    warmups = {name: read_warmup(launcher, name) for name in (image, against)}
    ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
    for run in range(runs + 1):
        turn = ((image, ours), (against, theirs))
        for name, starts in turn if run % 2 else reversed(turn):
            seconds = _start(launcher, name, warmups[name], before)
            if run:
                starts.append(seconds)
        if run:
            log(f"run {run}/{runs}: first answer {ours[-1][1]:.2f} s, against {theirs[-1][1]:.2f} s")
    return Pair(_series(image, ours), _series(against, theirs), cache)


def _start(launcher: Launcher, image: str, warmup: WarmupRequest, before: Callable[[], None]) -> tuple[float, float]:
    """Seconds until ready and until the first answer, each of a fresh container."""
    before()
    ready = time_ready(launcher, image)[0]
    before()
    return ready, time_first_answer(launcher, image, warmup, steady_runs=0).ttfi


def _series(image: str, starts: Sequence[tuple[float, float]]) -> Series:
    return Series(image, [ready for ready, _ in starts], [ttfi for _, ttfi in starts])


def _compare(theirs: Sequence[float], ours: Sequence[float]) -> Mapping[str, Any]:
    low, high = ratio_interval(theirs, ours)
    return {
        "seconds": summarize(ours).median,
        "against_seconds": summarize(theirs).median,
        "ratio": median(theirs) / median(ours),
        "ratio_interval_95": [low, high],
        "runs": [{"seconds": after, "against_seconds": before} for before, after in zip(theirs, ours, strict=True)],
    }
