"""How far an answer of reduced precision is from the framework's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prebake.bake.arrays import Array


@dataclass(frozen=True)
class Quality:
    """Of one output of one case. ``relative``: the root mean square of the difference over that of the framework's output;
    of whole numbers, the share of elements that differ. ``cosine``: of both as one vector each. ``difference``: the largest
    absolute one."""

    relative: float
    cosine: float
    difference: float

    @property
    def snr(self) -> float | None:
        """The signal-to-noise ratio in dB; None where nothing differs."""
        return -20 * math.log10(self.relative) if self.relative else None


def find_not_finite(wanted: Array, got: Array) -> str:
    """Where one of two outputs is infinite or no number and the other is not, or otherwise; empty if there is no such place."""
    if wanted.dtype.kind != "f":
        return ""
    left, right = wanted.astype(np.float64), got.astype(np.float64)
    same = (np.isnan(left) & np.isnan(right)) | (left == right) | (np.isfinite(left) & np.isfinite(right))
    places = np.argwhere(~same)
    if not len(places):
        return ""
    first = tuple(int(each) for each in places[0])
    return f"is {right[first]:g} at {list(first)}, the framework's {left[first]:g}, as at {len(places)} of {left.size} places"


def measure(wanted: Array, got: Array) -> Quality:
    """``got``, of the shape and type of ``wanted``, against it. Places at which both are the same infinity, or no number, are
    left out; NaN, below no bound, if one alone is not finite. Of text, as of whole numbers, the share that differs counts."""
    if wanted.dtype == object:
        share = float(np.mean(wanted != got)) if wanted.size else 0.0
        return Quality(share, 1.0 - share, float(share > 0))
    left, right = (each.astype(np.float64).reshape(-1) for each in (wanted, got))
    alike = ~np.isfinite(left) & ((left == right) | (np.isnan(left) & np.isnan(right)))
    left, right = left[~alike], right[~alike]
    if not left.size:
        return Quality(0.0, 1.0, 0.0)
    with np.errstate(all="ignore"):
        apart = left - right
        shares = wanted.dtype.kind in "biu"
        relative = float(np.mean(apart != 0)) if shares else _ratio(_length(apart), _length(left))
        cosine = 1.0 if not apart.any() else _ratio(float(left @ right), _length(left) * _length(right))
        return Quality(relative, cosine, float(np.max(np.abs(apart))))


def _length(vector: Array) -> float:
    return float(np.linalg.norm(vector))


def _ratio(upper: float, lower: float) -> float:
    if lower:
        return upper / lower
    return 0.0 if upper == 0 else math.inf
