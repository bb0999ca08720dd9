"""The denoising loop against the golden trajectory, and torch's noise levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entrypoints.contract import Cancelled
from images.foley.sampler import TIMES, Latents, denoise, guide, make_noise, make_sigmas
from tests.support.repository import ROOT

SCHEDULER = np.load(ROOT / "tests/support/foley/golden/scheduler.npz")


def never() -> bool:
    return False


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_sigmas_and_times_are_the_published(steps: int) -> None:
    assert np.array_equal(make_sigmas(steps), SCHEDULER[f"sigmas_{steps}"])
    assert np.array_equal(make_sigmas(steps)[:-1] * TIMES, SCHEDULER[f"timesteps_{steps}"])


@pytest.mark.parametrize("steps", range(1, 101))
def test_sigmas_are_torchs_for_any_number_of_steps(steps: int) -> None:
    assert np.array_equal(make_sigmas(steps), torch.linspace(1, 0, steps + 1).numpy())


def test_trajectory() -> None:
    seen: list[Latents] = []

    def velocity(x: Latents, time: np.float32) -> Latents:
        seen.append(x)
        out: Latents = np.sin(np.float32(1.5) * x) - x * time / TIMES + np.float32(0.1)
        return out

    last = denoise(SCHEDULER["traj_x0"], 5, velocity, never)
    assert last.dtype == np.float32
    np.testing.assert_allclose([*seen[1:], last], SCHEDULER["traj"], atol=2e-6)


def test_cancellation_between_steps() -> None:
    times: list[float] = []

    def velocity(x: Latents, time: np.float32) -> Latents:
        times.append(float(time))
        return x

    with pytest.raises(Cancelled):
        denoise(np.zeros((1, 2, 3), np.float32), 4, velocity, lambda: len(times) == 2)
    assert times == [1000.0, 750.0]


def test_each_step_is_reported_once_it_is_done() -> None:
    heard: list[tuple[int, int, int]] = []
    times: list[float] = []

    class Listening:
        def __call__(self) -> bool:
            return False

        def report(self, step: int, steps: int, message: str = "") -> None:
            heard.append((step, steps, len(times)))

    def velocity(x: Latents, time: np.float32) -> Latents:
        times.append(float(time))
        return x

    denoise(np.zeros((1, 2, 3), np.float32), 3, velocity, Listening())
    assert heard == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]


def test_guidance_goes_beyond_the_conditional() -> None:
    pair = np.array([[[1.0]], [[3.0]]], np.float32)
    assert guide(pair, 4.5).tolist() == [[[10.0]]]
    assert guide(pair, 4.5).dtype == np.float32


def test_noise_is_the_seeds() -> None:
    noise = make_noise(128, 32, 1)
    assert noise.shape == (1, 128, 32)
    assert noise.dtype == np.float32
    assert noise[0, 0, :3].tolist() == np.array([1.6243454, -0.6117564, -0.5281718], np.float32).tolist()
    assert np.array_equal(noise, make_noise(128, 32, 1))
    assert not np.array_equal(noise, make_noise(128, 32, 2))
