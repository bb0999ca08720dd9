"""Width and depth of a sample's networks for a size of its weights in bytes, for ``images/<name>/sample.py``."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

FLOAT32_BYTES = 4


def width_for(size: int, *, full: int, unit: int) -> int:
    """A multiple of ``unit``, about ``full`` for 1 GB and by the square root of ``size`` for others: weights are square."""
    return unit * max(1, round(full / unit * math.sqrt(size / 10**9)))


def find_minimum(size: int, weigh: Callable[[int], int]) -> int:
    """The smallest number from 1 on for which ``weigh`` returns at least ``size`` bytes. ``weigh`` has to be increasing."""
    most = 1
    while weigh(most) < size:
        most *= 2
    return bisect_left(range(1, most), size, key=weigh) + 1
