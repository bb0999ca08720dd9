"""The bounds of a benchmark: the naive image's first answer takes at least five times as long; later answers are not slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.measure.bench.statistics import ratio_interval

MIN_TTFI_RATIO, MIN_STEADY_RATIO = 5.0, 1.0


@dataclass(frozen=True)
class Bound:
    """A ratio, the other image's seconds over ours, that has to be ``minimum`` or more; ``interval`` is its 95% interval."""

    name: str
    minimum: float
    ratio: float
    interval: tuple[float, float]
    other: str = "naive"
    """The other image in messages."""

    @property
    def state(self) -> str:
        """``met`` or ``missed`` if the whole interval lies on one side of the minimum, else ``open``."""
        low, high = self.interval
        return "met" if low >= self.minimum else "missed" if high < self.minimum else "open"

    def line(self) -> str:
        """The bound as text."""
        low, high = self.interval
        return (
            f"{self.name}: {self.other} / Prebake {self.ratio:.2f} (95% interval {low:.2f} to {high:.2f}), "
            f"at least {self.minimum:g}: {self.state}"
        )

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "at_least": self.minimum,
            "ratio": self.ratio,
            "interval_95": list(self.interval),
            "state": self.state,
        }


def compare(name: str, minimum: float, theirs: Sequence[float], ours: Sequence[float], other: str = "naive") -> Bound:
    """The bound on the ratio of the medians."""
    return Bound(name, minimum, median(theirs) / median(ours), ratio_interval(theirs, ours), other)
