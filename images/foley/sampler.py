"""Rectified flow by Euler steps, from noise at time 1000 to a latent at time 0."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import Cancellation, Cancelled, report_progress

Latents = NDArray[np.float32]
Velocity = Callable[[Latents, np.float32], Latents]
"""The velocity at latents ``[1, channels, n]`` and a time in (0, 1000]."""

TIMES = np.float32(1000)


def make_sigmas(steps: int) -> NDArray[np.float32]:
    """``steps + 1`` noise levels from 1 to 0, the same bits as torch's ``linspace(1, 0, steps + 1)``.

    Torch counts from the nearer end, by a float32 step, and rounds once (its RangeFactoriesKernel.cpp); in doubles the
    product and the sum are exact, so that there is one rounding here too.
    """
    index, step = np.arange(steps + 1, dtype=np.float64), np.float64(np.float32(1) / np.float32(steps))
    levels = np.where(index < (steps + 1) // 2, 1 - step * index, step * index[::-1])
    return levels.astype(np.float32)


def make_noise(channels: int, length: int, seed: int) -> Latents:
    """``[1, channels, length]`` from ``seed``; numpy never changes the stream of this generator (NEP 19)."""
    return np.random.RandomState(seed).standard_normal((1, channels, length)).astype(np.float32)


def denoise(noise: Latents, steps: int, velocity: Velocity, cancelled: Cancellation) -> Latents:
    """The latent that ``velocity`` leads to in ``steps`` steps, each reported. Raises Cancelled between two of them."""
    latents, sigmas = noise, make_sigmas(steps)
    for step, (sigma, following) in enumerate(pairwise(sigmas), 1):
        if cancelled():
            raise Cancelled
        latents = latents + velocity(latents, sigma * TIMES) * (following - sigma)
        report_progress(cancelled, step, steps)
    return latents


def guide(pair: Latents, guidance: float) -> Latents:
    """``[2, channels, n]``, unconditional before conditional, to ``[1, channels, n]`` by classifier-free guidance."""
    without, conditional = pair[:1], pair[1:]
    return without + np.float32(guidance) * (conditional - without)
