"""Rectified flow by Euler steps, from noise at level 1 to a latent at level 0 (diffusers' FlowMatchEulerDiscrete)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.float32]
Velocity = Callable[[Tokens, np.float32], Tokens]
"""The velocity of tokens at a time in [0, 1), which is one minus the level."""

TIMES = np.float32(1000)


def make_sigmas(steps: int, shift: float) -> NDArray[np.float32]:
    """``steps + 1`` noise levels from 1 to 0."""
    levels = _linspace(steps)
    shifted = shift * levels / (1 + (shift - 1) * levels)
    return np.append(shifted, np.float32(0)).astype(np.float32)


def _linspace(steps: int) -> NDArray[np.float32]:
    """``torch.linspace(1, 1 / steps, steps)``, the same bits.

    Torch counts from the nearer end, by a float32 step, and rounds once (its RangeFactoriesKernel.cpp); in doubles the
    product and the sum are exact, so that there is one rounding here too.
    """
    if steps == 1:
        return np.ones(1, dtype=np.float32)
    last, index = np.float32(1 / steps), np.arange(steps, dtype=np.float64)
    step = np.float64((last - np.float32(1)) / np.float32(steps - 1))
    return np.where(index < steps // 2, 1 + step * index, np.float64(last) - step * index[::-1]).astype(np.float32)


def denoise(tokens: Tokens, sigmas: NDArray[np.float32], velocity: Velocity, each_step: Callable[[], None]) -> Tokens:
    """The result of following ``velocity``. ``each_step`` is called after each step; its exceptions end the run."""
    for sigma, following in pairwise(sigmas):
        time = (TIMES - sigma * TIMES) / TIMES  # rounded as the pipeline rounds it
        tokens = tokens + (following - sigma) * velocity(tokens, time)
        each_step()
    return tokens
