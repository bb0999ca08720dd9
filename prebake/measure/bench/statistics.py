"""Medians, percentiles and the interval of a ratio, for few and noisy runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Summary:
    """One figure over all runs, in the unit of the figure."""

    median: float
    p95: float
    minimum: float
    maximum: float
    runs: int


def summarize(values: Sequence[float]) -> Summary:
    ordered = sorted(values)
    return Summary(median(ordered), percentile(ordered, 0.95), ordered[0], ordered[-1], len(ordered))


def percentile(ordered: Sequence[float], share: float) -> float:
    """A percentile of sorted values, by linear interpolation between neighbours."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def ratio_interval(
    above: Sequence[float], below: Sequence[float], *, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """The bootstrap interval of median(above) / median(below). Draws are seeded, so that the same runs give the same interval."""
    chance = random.Random(0)  # noqa: S311 - resampling, no secret
    ratios = sorted(
        median(chance.choices(above, k=len(above))) / median(chance.choices(below, k=len(below))) for _ in range(draws)
    )
    return percentile(ratios, (1 - level) / 2), percentile(ratios, (1 + level) / 2)
