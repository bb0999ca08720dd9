"""Medians, percentiles and the interval of a ratio, of few and noisy runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Summary:
    """Of one figure over its runs, in the figure's own unit."""

    median: float
    p95: float
    minimum: float
    maximum: float
    runs: int


def summarise(values: Sequence[float]) -> Summary:
    ordered = sorted(values)
    return Summary(median(ordered), percentile(ordered, 0.95), ordered[0], ordered[-1], len(ordered))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, between neighbours by linear interpolation."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def ratio_interval(
    above: Sequence[float], below: Sequence[float], *, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """The bootstrap interval of median(above) / median(below); the draws are seeded, so that a table repeats."""
    chance = random.Random(0)  # noqa: S311 - resampling, no secret
    ratios = sorted(
        median(chance.choices(above, k=len(above))) / median(chance.choices(below, k=len(below))) for _ in range(draws)
    )
    return percentile(ratios, (1 - level) / 2), percentile(ratios, (1 + level) / 2)
