"""The normal numbers that ``torch.randn`` draws on a CPU from ``torch.Generator().manual_seed(seed)``, without torch.

Torch draws uniform float32 numbers with 24 bits from the Mersenne Twister, and turns each block of 16 into normal ones by
Box and Muller: eight radii, then eight angles (ATen/native/cpu/DistributionTemplates.h, ``normal_fill``). Its logarithm
and cosine are vectorized approximations: the last bits differ, below 1e-6.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLOCK = 16


def make_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """``torch.randn(shape)`` of 16 numbers or more; ``seed`` below 2**32. Raises ValueError for fewer."""
    size = math.prod(shape)
    if size < BLOCK:
        raise ValueError(f"torch draws fewer than {BLOCK} numbers in another way")
    rest = size % BLOCK
    drawn = _uniform(size + (BLOCK if rest else 0), seed)
    normal = np.empty(size, dtype=np.float32)
    normal[: size - rest] = _normal(drawn[: size - rest])
    if rest:  # the last block is drawn again; it overlaps the block before
        normal[-BLOCK:] = _normal(drawn[size:])
    return normal.reshape(shape)


def _uniform(count: int, seed: int) -> NDArray[np.float32]:
    """In [0, 1). ``RandomState`` is seeded as torch's generator, and numpy never changes its stream (NEP 19)."""
    bits = np.random.RandomState(seed).randint(0, 2**32, count, dtype=np.uint32)
    return (bits & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24)


def _normal(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = uniform.reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(np.float32(-2) * np.log(1 - blocks[:, 0]))
    angle = np.float32(2 * math.pi) * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
