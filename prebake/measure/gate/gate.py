"""``prebake bench --baseline``: start two images in turn until the verdict is clear."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median, quantiles
from typing import Any

from prebake.errors import AnswerDiffers, EngineError, StartFailed
from prebake.measure.gate.errors import BaselineUnusable
from prebake.measure.gate.limits import Check, Limits, Verdict, check_median, check_size, finite, overall
from prebake.measure.gate.phases import PhaseChange, compare_phases
from prebake.measure.gate.sequential import median_interval
from prebake.measure.gate.timed_start import TimedStart, time_start
from prebake.measure.ports import Launcher
from prebake.measure.warmup_request import WarmupRequest

MAX_PAIRS = 40
LEAST_SPREAD_PAIRS = 4


@dataclass(frozen=True)
class GateSide:
    """An image with its warm-up requests by model, and the size of its unpacked layers in bytes."""

    image: str
    warmups: Mapping[str, WarmupRequest]
    size: int = 0


@dataclass(frozen=True)
class StartPair:
    """A start of the image and one of the baseline. ``first``: which of them was started first, ``image`` or ``baseline``.
    ``baseline`` is None in a gate without one."""

    first: str
    image: TimedStart
    baseline: TimedStart | None = None

    @property
    def ratio(self) -> float:
        """The time to the first answer over the baseline's; above 1, the image is slower. Only of a gate with a baseline."""
        return self.image.ttfi / self.compared.ttfi

    @property
    def compared(self) -> TimedStart:
        if self.baseline is None:
            raise ValueError("the gate has no baseline")
        return self.baseline

    def document(self) -> dict[str, Any]:
        baseline = None if self.baseline is None else self.baseline.document()
        return {"first": self.first, "image": self.image.document(), "baseline": baseline}


@dataclass(frozen=True)
class GateResult:
    """All starts, and what follows from them. ``load``: the load average of the minute before the first start, and of the last
    minute."""

    limits: Limits
    pairs: Sequence[StartPair]
    size: int
    max_pairs: int
    load: tuple[float, float] = (0.0, 0.0)

    @property
    def compares(self) -> bool:
        """Whether there is a baseline."""
        return self.pairs[0].baseline is not None

    @cached_property
    def ratios(self) -> list[float]:
        return [pair.ratio for pair in self.pairs] if self.compares else []

    @property
    def ratio(self) -> float:
        """The median of the paired ratios: above 1, the image starts slower than the baseline."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        return median_interval(self.ratios)

    @property
    def spread(self) -> float | None:
        """How noisy the machine is: half the distance between the quartiles of the figures that are judged (the paired ratios,
        else the times), over their median. None for fewer than four starts."""
        values = self.ratios or [pair.image.ttfi for pair in self.pairs]
        if len(values) < LEAST_SPREAD_PAIRS:
            return None
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return (high - low) / 2 / middle

    @cached_property
    def checks(self) -> list[Check]:
        limits, found = self.limits, list[Check]()
        if limits.max_regression is not None and self.compares:
            found.append(check_median("regression", self.ratios, 1 + limits.max_regression, "times"))
        if limits.max_ttfi is not None:
            found.append(check_median("ttfi", [pair.image.ttfi for pair in self.pairs], limits.max_ttfi, "seconds"))
        if limits.max_image_size is not None:
            found.append(check_size(self.size, limits.max_image_size))
        return found

    @property
    def verdict(self) -> Verdict:
        return overall(self.checks)

    @cached_property
    def phases(self) -> list[PhaseChange]:
        """Empty without a baseline."""
        return compare_phases([(pair.image, pair.compared) for pair in self.pairs]) if self.compares else []

    def document(self) -> dict[str, Any]:
        """The measured part of the gate's document, as docs/gate.schema.json describes it."""
        images, compares = [pair.image for pair in self.pairs], self.compares
        baselines = [pair.compared for pair in self.pairs] if compares else []
        return {
            "verdict": self.verdict.value,
            "limits": self.limits.document(),
            "checks": [check.document() for check in self.checks],
            "pairs": len(self.pairs),
            "max_pairs": self.max_pairs,
            "ttfi_seconds": _median([start.ttfi for start in images]),
            "baseline_ttfi_seconds": _median([start.ttfi for start in baselines]),
            "ready_seconds": _median([start.ready for start in images]),
            "baseline_ready_seconds": _median([start.ready for start in baselines]),
            "ratio": self.ratio if compares else None,
            "ratio_interval_95": finite(self.interval) if compares else None,
            "spread": self.spread,
            "phases": [phase.document() for phase in self.phases],
            "starts": [{"pair": number, **pair.document()} for number, pair in enumerate(self.pairs, 1)],
        }


def run_gate(
    launcher: Launcher,
    image: GateSide,
    baseline: GateSide | None,
    limits: Limits,
    *,
    log: Callable[[str], None],
    max_pairs: int = MAX_PAIRS,
    before: Callable[[], None] = lambda: None,
    warm: bool = True,
    chance: random.Random | None = None,
) -> GateResult:
    """Start fresh containers of both in pairs, in random order within a pair, and stop as soon as each limit's verdict is clear,
    or one of them is exceeded.

    ``before`` is called before each start. With ``warm``, each image is started once before the first pair, which is not counted:
    afterwards the page cache holds both. Raises StartFailed or AnswerDiffers of the image, BaselineUnusable of the baseline.
    """
    draw = chance or random.Random()  # noqa: S311 - the order of starts, no secret
    before_all = os.getloadavg()[0]
    sides = {"image": image} | ({"baseline": baseline} if baseline else {})
    for name in sides if warm else ():
        _start(launcher, name, sides[name])
    pairs: list[StartPair] = []
    while True:
        order = list(sides)
        draw.shuffle(order)
        found = {}
        for name in order:
            before()
            found[name] = _start(launcher, name, sides[name])
        pairs.append(StartPair(order[0], found["image"], found.get("baseline")))
        result = GateResult(limits, tuple(pairs), image.size, max_pairs, (before_all, os.getloadavg()[0]))
        log(describe_pair(result))
        if len(pairs) >= max_pairs or _is_settled(result):
            return result


def _start(launcher: Launcher, name: str, side: GateSide) -> TimedStart:
    try:
        return time_start(launcher, side.image, side.warmups)
    except (StartFailed, AnswerDiffers, EngineError) as error:
        if name == "image":
            raise
        raise BaselineUnusable(
            f"The baseline does not start as it should: {error.message}",
            next_action=f"choose a baseline that runs on this machine; {error.next_action}",
        ) from error


def _is_settled(result: GateResult) -> bool:
    """Whether more starts would not change the verdict. The size of the image is known from the beginning: it does not end the
    starts, which tell about the other limits."""
    measured = [check.verdict for check in result.checks if check.unit != "bytes"]
    return Verdict.FAIL in measured or Verdict.UNCLEAR not in measured


def describe_pair(result: GateResult) -> str:
    """The newest pair, for the log."""
    pair, number = result.pairs[-1], f"{len(result.pairs)}/{result.max_pairs}"
    if pair.baseline is None:
        return f"start {number}: first answer {pair.image.ttfi:.3f} s"
    return (
        f"pair {number}: first answer {pair.image.ttfi:.3f} s, baseline {pair.baseline.ttfi:.3f} s: "
        f"{pair.ratio:.3f} times, median {result.ratio:.3f}"
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known and len(known) == len(values) else None
