"""Which phases of a start moved: the paired difference of each phase, with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.gate.limits import finite
from prebake.measure.gate.sequential import median_interval
from prebake.measure.gate.timed_start import TimedStart

LEAST_SECONDS = 0.001
"""A smaller difference is not worth a name, even if it is certain."""


@dataclass(frozen=True)
class PhaseChange:
    """Medians, and the median of the paired differences (the image's seconds less the baseline's), in seconds. ``seconds`` and
    ``baseline`` are None if no start of that image has the phase."""

    name: str
    seconds: float | None
    baseline: float | None
    difference: float
    interval: tuple[float, float]

    @property
    def moved(self) -> bool:
        """The interval leaves out 0, and the difference is a millisecond or more."""
        low, high = self.interval
        return (low > 0 or high < 0) and abs(self.difference) >= LEAST_SECONDS

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seconds": self.seconds,
            "baseline_seconds": self.baseline,
            "difference_seconds": self.difference,
            "interval_95": finite(self.interval),
            "moved": self.moved,
        }


def compare_phases(pairs: Sequence[tuple[TimedStart, TimedStart]]) -> list[PhaseChange]:
    """``pairs`` are starts of the image and of the baseline. A phase that a start does not have took no time in it. In the order
    in which the phases begin. Empty if one of the images does not tell when its phases were, as one of an older Prebake: every
    phase of the other image would seem to be new."""
    if any(start.ready is None for pair in pairs for start in pair):
        return []
    found = [(_durations(image), _durations(baseline)) for image, baseline in pairs]
    return [_compare(name, found) for name in _names(pairs)]


def _compare(name: str, pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> PhaseChange:
    image, baseline = ([pair[side].get(name, 0.0) for pair in pairs] for side in (0, 1))
    differences = [new - old for new, old in zip(image, baseline, strict=True)]
    ours, theirs = (any(name in pair[side] for pair in pairs) for side in (0, 1))
    medians = median(image) if ours else None, median(baseline) if theirs else None
    return PhaseChange(name, *medians, median(differences), median_interval(differences))


def _durations(start: TimedStart) -> Mapping[str, float]:
    """By the name of the phase; a name that occurs again is added."""
    found = Counter[str]()
    for phase in start.phases:
        found[phase.name] += phase.seconds  # type: ignore[assignment]  # a Counter adds any numbers
    return found


def _names(pairs: Sequence[tuple[TimedStart, TimedStart]]) -> list[str]:
    begins: dict[str, list[float]] = {}
    for start in (start for pair in pairs for start in pair):
        for phase in start.phases:
            begins.setdefault(phase.name, []).append(phase.start)
    return sorted(begins, key=lambda name: median(begins[name]))
