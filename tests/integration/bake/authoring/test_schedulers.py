"""Recorded schedules against diffusers' own schedulers."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from prebake.bake.authoring.schedulers import record_schedule, replay
from prebake.bake.errors import BakeError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # diffusers' own
STEPS = (1, 2, 7, 20)
SHAPE = (1, 4, 5, 7)
TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
KEPT: list[tuple[str, dict[str, Any]]] = [
    ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}),
    ("DDIMScheduler", {"clip_sample": True, "clip_sample_range": 0.7, "timestep_spacing": "trailing"}),
    ("DDPMScheduler", {}),
    ("DDPMScheduler", {"variance_type": "fixed_large", "clip_sample": False}),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("EulerDiscreteScheduler", {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverSinglestepScheduler", {}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {}),
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("EulerAncestralDiscreteScheduler", {}),
    ("LCMScheduler", {}),
    ("DDIMScheduler", {"clip_sample": True, "prediction_type": "v_prediction"}),
    ("DDIMScheduler", {"clip_sample": False, "thresholding": True}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("DDPMScheduler", {"variance_type": "learned"}),
]


def made(name: str, options: dict[str, Any]) -> Any:
    return getattr(diffusers, name)(**{**TRAINED, **options})


def network(sample: torch.Tensor, time: float) -> torch.Tensor:
    """Any that is not linear."""
    return torch.sin(sample + 0.002 * time) + 0.3 * sample.flip(-1)


def drawn(generator: torch.Generator) -> np.ndarray[Any, Any]:
    noise: np.ndarray[Any, Any] = torch.randn(SHAPE, generator=generator).numpy()
    return noise


def by_diffusers(scheduler: Any, steps: int) -> np.ndarray[Any, Any]:
    generator = torch.Generator().manual_seed(steps)
    scheduler.set_timesteps(steps)
    sample = torch.randn(SHAPE, generator=generator) * scheduler.init_noise_sigma
    noisy = {"generator": generator} if type(scheduler).__name__ == "DDPMScheduler" else {}
    for time in scheduler.timesteps:
        said = network(scheduler.scale_model_input(sample, time), float(time))
        sample = scheduler.step(said, time, sample, **noisy).prev_sample
    found: np.ndarray[Any, Any] = sample.numpy()
    return found


@pytest.mark.parametrize(("name", "options"), KEPT)
def test_a_record_leads_where_the_scheduler_does(name: str, options: dict[str, Any]) -> None:
    archive = np.load(io.BytesIO(record_schedule(made(name, options), STEPS)))
    for steps in sorted({int(each.partition("/")[0]) for each in archive.files}):
        recorded = {each.partition("/")[2]: archive[each] for each in archive.files if each.startswith(f"{steps}/")}
        generator = torch.Generator().manual_seed(steps)
        got = replay(
            recorded,
            partial(drawn, generator),
            lambda sample, time: network(torch.from_numpy(sample).float(), time).double().numpy(),
        )
        wanted = by_diffusers(made(name, options), steps)
        assert np.abs(got - wanted).max() <= 1e-4 * max(1.0, np.abs(wanted).max()), steps


@pytest.mark.parametrize(("name", "options"), REFUSED)
def test_what_is_no_sum_is_refused_by_name(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(BakeError) as caught:
        record_schedule(made(name, options), STEPS)
    assert f"{name} cannot be recorded" in caught.value.message
    assert "model.py" in caught.value.next_action


def test_a_record_is_the_same_each_time() -> None:
    assert record_schedule(made("PNDMScheduler", {}), (8, 9)) == record_schedule(made("PNDMScheduler", {}), (8, 9))
