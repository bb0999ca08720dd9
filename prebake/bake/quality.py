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


def measure(wanted: Array, got: Array) -> Quality:
    """``got``, of the shape and type of ``wanted``, against it. NaN where either is not finite, which is below no bound."""
    left, right = (each.astype(np.float64).reshape(-1) for each in (wanted, got))
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
