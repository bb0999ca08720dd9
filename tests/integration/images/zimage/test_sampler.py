"""Noise and schedule without torch are torch's and diffusers'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from images.zimage.noise import make_noise
from images.zimage.sampler import Tokens, denoise, make_sigmas


@pytest.mark.parametrize("seed", [0, 1, 7, 12345, 2**31, 2**32 - 1])
@pytest.mark.parametrize("shape", [(16,), (17,), (31,), (3, 5, 7), (16, 8, 8), (4, 10, 6), (1, 16, 64, 40), (100_003,)])
def test_noise_is_what_torch_draws(shape: tuple[int, ...], seed: int) -> None:
    wanted = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()
    noise = make_noise(shape, seed)
    assert noise.dtype == np.float32
    assert noise.shape == shape
    assert np.abs(noise - wanted).max() < 1e-6


def test_fewer_numbers_than_a_block_are_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        make_noise((3, 5), 1)


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.5])
def test_levels_are_the_schedulers(shift: float) -> None:
    for steps in range(1, 101):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist())
        sigmas = make_sigmas(steps, shift)
        assert sigmas.dtype == np.float32
        np.testing.assert_array_equal(sigmas, scheduler.sigmas.numpy())


def test_steps_are_the_schedulers_and_each_is_told() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / 5, 5).tolist())
    wanted = torch.from_numpy(make_noise((1, 32, 4), 3))
    noise, times = wanted.numpy(), []
    for time in scheduler.timesteps:
        times.append(float((1000 - time) / 1000))
        wanted = scheduler.step(torch.tanh(wanted) * times[-1], time, wanted, return_dict=False)[0]
    seen: list[float] = []
    told: list[int] = []

    def velocity(tokens: Tokens, time: np.float32) -> Tokens:
        seen.append(float(time))
        return np.tanh(tokens) * time

    answer = denoise(noise, make_sigmas(5, 3.0), velocity, lambda: told.append(len(seen)))
    assert seen == times
    assert told == [1, 2, 3, 4, 5]
    assert np.abs(answer - wanted.numpy()).max() < 1e-6
