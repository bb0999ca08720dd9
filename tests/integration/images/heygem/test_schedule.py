"""Denoising on the host is diffusers' DDIMScheduler, step by step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from entrypoints.contract import Cancelled
from images.heygem.export import describe
from images.heygem.schedule import Latents, Schedule, denoise, make_noise

NOISE = make_noise((4, 8, 8), 5)


def predict(latents: Latents, time: Any) -> Latents:
    """Something that depends on both."""
    noise_pred: Latents = np.tanh(latents * np.float32(0.9)) + np.float32(0.1) * np.float32(time[0] / 1000)
    return noise_pred


def schedule_of(scheduler: DDIMScheduler) -> Schedule:
    checkpoint: Any = SimpleNamespace(scheduler=scheduler, audio_window=4)
    return Schedule(**describe(checkpoint)["schedule"])


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 50])
@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "scaled_linear", "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False},
        {"clip_sample_range": 1.5, "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "timestep_spacing": "linspace"},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    ],
)
def test_latents_are_the_schedulers(config: dict[str, Any], steps: int) -> None:
    scheduler = DDIMScheduler(**config)
    scheduler.set_timesteps(steps)
    wanted = torch.from_numpy(NOISE)
    for time in scheduler.timesteps:
        noise_pred = torch.from_numpy(predict(wanted.numpy(), time[None]))
        wanted = scheduler.step(noise_pred, time, wanted).prev_sample
    schedule = schedule_of(scheduler)
    assert schedule.times(steps) == scheduler.timesteps.tolist()
    got = denoise(NOISE, schedule, steps, predict, lambda: False)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_it_stops_between_steps() -> None:
    asked: list[int] = []

    def count(latents: Latents, time: Any) -> Latents:
        asked.append(int(time[0]))
        return latents

    with pytest.raises(Cancelled):
        denoise(NOISE, schedule_of(DDIMScheduler()), 10, count, lambda: len(asked) == 3)
    assert len(asked) == 3


def test_the_same_seed_gives_the_same_noise() -> None:
    assert np.array_equal(make_noise((4, 8, 8), 5), NOISE)
    assert not np.array_equal(make_noise((4, 8, 8), 6), NOISE)
