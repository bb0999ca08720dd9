"""Whether a figure grows under load: a line through the samples of its second half.

The slope is the median of the slopes between all pairs of samples (the Theil-Sen estimator), so that a few samples in which a
large request was at work do not turn it. The rule: the line may rise over the second half by what the figure may grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

MIN_SAMPLES = 4


def fit_growth(samples: Sequence[tuple[float, float]]) -> float:
    """By how much the line rises from the first to the last sample of the second half. ``samples`` are times and values; 0 if the
    second half has fewer than ``MIN_SAMPLES``."""
    middle = (samples[0][0] + samples[-1][0]) / 2 if samples else 0.0
    later = [(at, value) for at, value in samples if at >= middle]
    if len(later) < MIN_SAMPLES:
        return 0.0
    slopes = [(b - a) / (then - at) for (at, a), (then, b) in combinations(later, 2) if then > at]
    return median(slopes) * (later[-1][0] - later[0][0])
