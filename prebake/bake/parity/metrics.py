"""Error metrics between a graph's output and the framework's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prebake.bake.weights.numpy_arrays import Array


@dataclass(frozen=True)
class ErrorMetrics:
    """Errors of one output of one case."""

    relative: float
    """Root mean square of the difference over that of the framework's output; for integers and text, the share of different
    elements."""
    cosine: float
    """Cosine similarity of the flattened outputs."""
    difference: float
    """The largest absolute difference."""

    @property
    def snr(self) -> float | None:
        """The signal-to-noise ratio in dB; None if nothing differs."""
        return -20 * math.log10(self.relative) if self.relative else None


def find_not_finite(expected: Array, actual: Array) -> str:
    """Describes where only one of two outputs is infinite or NaN, or where they are so differently; empty if nowhere."""
    if expected.dtype.kind != "f":
        return ""
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    same = (np.isnan(left) & np.isnan(right)) | (left == right) | (np.isfinite(left) & np.isfinite(right))
    places = np.argwhere(~same)
    if not len(places):
        return ""
    first = tuple(int(index) for index in places[0])
    return (
        f"is {right[first]:g} at {list(first)}, the framework's is {left[first]:g}; this is so for {len(places)} of {left.size} "
        "elements"
    )


def measure_error(expected: Array, actual: Array) -> ErrorMetrics:
    """The errors of ``actual`` against ``expected``, of the same shape and dtype.

    Elements where both are the same infinity or both NaN are ignored. If only one is finite, the metrics are NaN, which passes
    no bound.
    """
    if expected.dtype == object:
        share = float(np.mean(expected != actual)) if expected.size else 0.0
        return ErrorMetrics(share, 1.0 - share, float(share > 0))
    left, right = (array.astype(np.float64).reshape(-1) for array in (expected, actual))
    equal = ~np.isfinite(left) & ((left == right) | (np.isnan(left) & np.isnan(right)))
    left, right = left[~equal], right[~equal]
    if not left.size:
        return ErrorMetrics(0.0, 1.0, 0.0)
    with np.errstate(all="ignore"):
        difference = left - right
        integers = expected.dtype.kind in "biu"
        relative = float(np.mean(difference != 0)) if integers else _ratio(_norm(difference), _norm(left))
        cosine = 1.0 if not difference.any() else _ratio(float(left @ right), _norm(left) * _norm(right))
        return ErrorMetrics(relative, cosine, float(np.max(np.abs(difference))))


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))


def _ratio(upper: float, lower: float) -> float:
    if lower:
        return upper / lower
    return 0.0 if upper == 0 else math.inf
