"""How far two answers are apart, in a measure that holds for answers of any size on any processor."""

from __future__ import annotations

from typing import Any

import numpy as np

ROUNDING = 2e-5
"""Of the largest number: what two programs that compute the same in fp32 may differ by in the tests' small networks."""


def relative(got: Any, wanted: Any) -> float:
    """The largest difference over the largest number of ``wanted``."""
    left, right = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    assert left.shape == right.shape
    return float(np.abs(left - right).max() / np.abs(right).max())
