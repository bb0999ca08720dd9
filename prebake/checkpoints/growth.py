"""How wide and deep a sample's networks are for weights of so many bytes. ``images/<name>/sample.py`` asks it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

FLOAT32 = 4


def width_for(size: int, *, full: int, unit: int) -> int:
    """A multiple of ``unit``, about ``full`` for 1 GB and by the square root of ``size`` for others: weights are square."""
    return unit * max(1, round(full / unit * math.sqrt(size / 10**9)))


def least(size: int, weigh: Callable[[int], int]) -> int:
    """The least number, 1 or more, that ``weigh`` gives at least ``size`` bytes for; more weigh more."""
    most = 1
    while weigh(most) < size:
        most *= 2
    return bisect_left(range(1, most), size, key=weigh) + 1
