"""Two images of one model against each other, such as a change and what was there before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.bounds import AGAINST_TIMES, Bound, compare
from prebake.measure.ports import Launcher
from prebake.measure.starting import time_first_answer, time_ready
from prebake.measure.statistics import ratio_interval, summarise
from prebake.measure.warmup import Warmup, read_warmup


@dataclass(frozen=True)
class Series:
    """One image's starts, in seconds by run."""

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
            compare("ready", AGAINST_TIMES, self.theirs.ready, self.ours.ready, "against"),
            compare("first answer", AGAINST_TIMES, self.theirs.ttfi, self.ours.ttfi, "against"),
        )

    def document(self) -> dict[str, Any]:
        """Ratios are theirs over ours: above 1, ours is sooner."""
        return {
            "image": self.ours.image,
            "against": self.theirs.image,
            "page_cache": self.cache,
            "bounds": [bound.document() for bound in self.bounds],
            "ready": _compare(self.theirs.ready, self.ours.ready),
            "ttfi": _compare(self.theirs.ttfi, self.ours.ttfi),
        }

    def table(self) -> str:
        """For a person."""
        rows = [f"{'seconds, medians':18}{'against':>9}{'image':>9}   times sooner (95% interval)"]
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
    tell: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
    cache: str = "warm",
) -> Pair:
    """Start both in turn, so that a drift of the machine falls on both; every answer is compared with the reference.

    One start of each comes first and is not counted: afterwards the page cache holds both. ``before`` is called before each
    start: to drop that cache, if it is to be ``cold``.
    """
    warmups = {name: read_warmup(launcher, name) for name in (image, against)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in warmups}
    for run in range(runs + 1):
        for name in (image, against) if run % 2 else (against, image):
            seconds = _start(launcher, name, warmups[name], before)
            if run:
                found[name].append(seconds)
        if run:
            ours, theirs = found[image][-1], found[against][-1]
            tell(f"run {run}/{runs}: first answer {ours[1]:.2f} s, against {theirs[1]:.2f} s")
    return Pair(_series(image, found[image]), _series(against, found[against]), cache)


def _start(launcher: Launcher, image: str, warmup: Warmup, before: Callable[[], None]) -> tuple[float, float]:
    """Ready and first answer, of a fresh container each."""
    before()
    ready = time_ready(launcher, image)[0]
    before()
    return ready, time_first_answer(launcher, image, warmup, steady_runs=0).ttfi


def _series(image: str, starts: Sequence[tuple[float, float]]) -> Series:
    return Series(image, [ready for ready, _ in starts], [ttfi for _, ttfi in starts])


def _compare(theirs: Sequence[float], ours: Sequence[float]) -> Mapping[str, Any]:
    low, high = ratio_interval(theirs, ours)
    return {
        "seconds": summarise(ours).median,
        "against_seconds": summarise(theirs).median,
        "ratio": median(theirs) / median(ours),
        "ratio_interval_95": [low, high],
        "runs": [{"seconds": after, "against_seconds": before} for before, after in zip(theirs, ours, strict=True)],
    }
