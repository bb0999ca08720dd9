"""What a benchmark requires: a first answer five times as soon as the naive image's and later ones no slower; against an
earlier build, a start that is at most 5% slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.statistics import ratio_interval

TTFI_TIMES, STEADY_TIMES = 5.0, 1.0
AGAINST_TIMES = 0.95
"""Earlier over now. Below 1, so that the drift of a machine between two starts of one image is no missed bound."""


@dataclass(frozen=True)
class Bound:
    """A ratio, the other image's seconds over ours, that should be ``least`` or more; ``interval`` is its 95% interval."""

    name: str
    least: float
    ratio: float
    interval: tuple[float, float]
    other: str = "naive"
    """What the other image is called."""

    @property
    def state(self) -> str:
        """``met`` or ``missed`` where the whole interval says so."""
        low, high = self.interval
        return "met" if low >= self.least else "missed" if high < self.least else "open"

    def line(self) -> str:
        """For a person."""
        low, high = self.interval
        return (
            f"{self.name}: {self.other} / Prebake {self.ratio:.2f} (95% interval {low:.2f} to {high:.2f}), "
            f"at least {self.least:g}: {self.state}"
        )

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "at_least": self.least,
            "ratio": self.ratio,
            "interval_95": list(self.interval),
            "state": self.state,
        }


def compare(name: str, least: float, theirs: Sequence[float], ours: Sequence[float], other: str = "naive") -> Bound:
    """Of the medians."""
    return Bound(name, least, median(theirs) / median(ours), ratio_interval(theirs, ours), other)
