"""The weights of the golden vectors: each value follows from its tensor's full name and shape, and nothing else.

The numbers are numpy's frozen ``RandomState`` stream seeded with the name's CRC-32; the name's last part says how they
are scaled, so that every network gives outputs of about unit size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MAGNITUDES = {"alpha": 1.0, "weight_g": 0.72}


def fill(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """The tensor called ``name``."""
    noise = np.random.RandomState(crc32(name.encode())).standard_normal(tuple(shape))
    return _scale(name.rpartition(".")[2], noise).astype(np.float32)


def fill_all(shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.float32]]:
    """Every tensor of a list, in its order."""
    return {name: fill(name, shape) for name, shape in shapes.items()}


def _scale(last: str, noise: NDArray[Any]) -> NDArray[Any]:
    if last in MAGNITUDES:
        return MAGNITUDES[last] + 0.1 * noise.clip(-3, 3)
    if last == "weight" and noise.ndim == 1:
        return 1.0 + 0.1 * noise
    if last.endswith("bias") or noise.ndim < 2:
        return 0.05 * noise
    if last.endswith("weight") or last == "weight_v":
        return noise / math.sqrt(math.prod(noise.shape[1:]))
    return 0.5 * noise
