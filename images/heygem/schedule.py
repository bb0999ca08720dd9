"""Denoising by DDIM without added noise (Song et al., 2021), in the terms of diffusers' DDIMScheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import Cancellation, Cancelled

Latents = NDArray[np.float32]
Predict = Callable[[Latents, NDArray[np.int64]], Latents]
"""The network's prediction for latents ``[n, channels, height, width]`` at a time ``[1]``."""


class Schedule(NamedTuple):
    """The share of the signal at each time of the training, and the type of the network's prediction."""

    alphas: Sequence[float]
    """Cumulated, one for each time."""
    last_alpha: float
    """The share at the time before the first."""
    prediction: str
    """``epsilon``, ``sample`` or ``v_prediction``."""
    spacing: str
    """``leading``, ``trailing`` or ``linspace``."""
    offset: int
    clip: float | None
    """The largest value of a latent; larger ones are clipped."""

    def times(self, steps: int) -> list[int]:
        """The times of the steps, from noise to signal."""
        count = len(self.alphas)
        if self.spacing == "linspace":
            return [int(place) for place in np.linspace(0, count - 1, steps).round()[::-1]]
        if self.spacing == "leading":
            return [place * (count // steps) + self.offset for place in reversed(range(steps))]
        return [int(place) - 1 for place in np.arange(count, 0, -count / steps).round()]

    def step(self, latents: Latents, noise_pred: Latents, time: int, steps: int) -> Latents:
        """The latents one step nearer to the signal."""
        before = time - len(self.alphas) // steps
        signal, noise = self._split(latents, noise_pred, self.alphas[time])
        if self.clip is not None:
            signal = signal.clip(-self.clip, self.clip)
        alpha = self.alphas[before] if before >= 0 else self.last_alpha
        return np.float32(math.sqrt(alpha)) * signal + np.float32(math.sqrt(1 - alpha)) * noise

    def _split(self, latents: Latents, noise_pred: Latents, alpha: float) -> tuple[Latents, Latents]:
        """Signal and noise that make up the latents."""
        kept, rest = np.float32(math.sqrt(alpha)), np.float32(math.sqrt(1 - alpha))
        if self.prediction == "epsilon":
            return np.divide(latents - rest * noise_pred, kept), noise_pred
        if self.prediction == "sample":
            return noise_pred, np.divide(latents - kept * noise_pred, rest)
        return kept * latents - rest * noise_pred, kept * noise_pred + rest * latents


def make_noise(shape: tuple[int, int, int], seed: int) -> Latents:
    """``[1, *shape]``, the start of every frame; numpy never changes the stream of this generator (NEP 19)."""
    return np.random.RandomState(seed).standard_normal((1, *shape)).astype(np.float32)


def denoise(noise: Latents, schedule: Schedule, steps: int, predict: Predict, cancelled: Cancellation) -> Latents:
    """The signal that ``predict`` finds in ``noise``. Raises Cancelled between two steps."""
    latents = noise
    for time in schedule.times(steps):
        if cancelled():
            raise Cancelled
        latents = schedule.step(latents, predict(latents, np.array([time])), time, steps)
    return latents
