"""Records a diffusers scheduler's loop as arrays of coefficients, so that serving needs no diffusers.

A scheduler that neither clips nor adds noise is linear: each sample is a weighted sum of the initial noise and of the model
outputs so far, and the weights depend only on the number of steps. Running the scheduler on unit vectors yields these weights,
whatever its method and order. For DDPM, and DDIM with clipping, the coefficients of each step are computed instead. Either record
is compared with the scheduler before it is saved.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from prebake.bake.errors import BakeError
from prebake.bake.weights.numpy_arrays import Array

Predict = Callable[[torch.Tensor, float], torch.Tensor]
_TOLERANCE = 1e-4  # relative to a sample whose largest element is about 1
_STEPWISE = ("DDPMScheduler", "DDIMScheduler")


def record_schedule(scheduler: Any, steps: Sequence[int]) -> bytes:
    """An ``.npz`` archive with the arrays of each number of steps that the scheduler supports, named ``<steps>/<array>``.

    - ``times`` [n]: the timestep of each model call; ``scales`` [n]: factor of the sample before each call
    - ``factors`` [n + 1, n + 1]: row k holds the weights of (noise, model output 0, model output 1, …) in the sample before
      call k; the last row gives the result
    - or ``rows`` [n, 6]: weights of (sample, model output) in the predicted original sample, which is clipped; then weights of
      (predicted original sample, sample, model output, fresh noise) in the next sample. ``clip`` []: infinity if nothing is
      clipped
    Raises BakeError if the scheduler does anything else.
    """
    arrays: dict[str, Array] = {}
    for count in steps:
        recorded = _record_if_supported(copy.deepcopy(scheduler), count)
        arrays |= {f"{count}/{name}": array for name, array in recorded.items()}
    supported = sorted({int(name.partition("/")[0]) for name in arrays})
    if not supported:
        raise _unrecordable(scheduler, f"it supports no number of steps from {min(steps)} to {max(steps)}")
    for count in {supported[0], supported[len(supported) // 3], supported[-1]}:
        difference = _difference(scheduler, count, {name: arrays[f"{count}/{name}"] for name in _names(arrays, count)})
        if not difference <= _TOLERANCE:  # NaN is not
            raise _unrecordable(scheduler, f"the record of {count} steps differs from it by {difference:.3g}")
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _record_if_supported(scheduler: Any, steps: int) -> Mapping[str, Array]:
    """Empty if the scheduler does not support this number of steps."""
    try:
        return _record(scheduler, steps)
    except BakeError:
        raise
    except Exception:  # schedulers raise any exception for an unsupported number
        return {}


def _record(scheduler: Any, steps: int) -> Mapping[str, Array]:
    scheduler.set_timesteps(steps)
    name, config = type(scheduler).__name__, scheduler.config
    if config.get("thresholding"):
        raise _unrecordable(scheduler, "`thresholding` depends on the whole sample")
    if name == "DDPMScheduler" or (name in _STEPWISE and config.clip_sample):
        return _record_rows(scheduler, steps)
    return _record_factors(scheduler)


def _record_factors(scheduler: Any) -> Mapping[str, Array]:
    times = [float(time) for time in scheduler.timesteps]
    units = torch.eye(len(times) + 1, dtype=torch.float64)[:, None, :, None, None]  # each [1, n + 1, 1, 1]
    sample, factors, scales = units[0] * float(scheduler.init_noise_sigma), [], []
    for unit, time in zip(units[1:], scheduler.timesteps, strict=True):
        factors.append(sample.flatten().double())
        scaled = scheduler.scale_model_input(sample.clone(), time)
        scales.append(float((scaled.double() * sample).sum() / (sample.double() ** 2).sum()))
        sample = scheduler.step(unit.clone(), time, sample, return_dict=False)[0]
    rows = torch.stack([*factors, sample.flatten().double()])
    return {"times": np.array(times), "scales": np.array(scales), "factors": rows.numpy()}


def _record_rows(scheduler: Any, steps: int) -> Mapping[str, Array]:
    config, alphas = scheduler.config, scheduler.alphas_cumprod.double()
    if config.prediction_type != "epsilon":
        raise _unrecordable(scheduler, f"prediction_type is {config.prediction_type}")
    rows = []
    for time in map(int, scheduler.timesteps):
        alpha = float(alphas[time])
        original = (alpha**-0.5, -((1 - alpha) ** 0.5) * alpha**-0.5)
        rows.append([*original, *_next_sample(scheduler, time, steps, alpha)])
    clip = config.clip_sample_range if config.clip_sample else np.inf
    return {
        "times": scheduler.timesteps.numpy().astype(np.float64),
        "rows": np.array(rows),
        "clip": np.array(clip, dtype=np.float64),
    }


def _next_sample(scheduler: Any, time: int, steps: int, alpha: float) -> tuple[float, float, float, float]:
    """Weights of (predicted original sample, sample, model output, fresh noise) in the next sample."""
    alphas = scheduler.alphas_cumprod.double()
    if type(scheduler).__name__ == "DDIMScheduler":  # Song et al., 2021, equation 12 without noise
        before = time - scheduler.config.num_train_timesteps // steps
        previous = float(alphas[before] if before >= 0 else scheduler.final_alpha_cumprod)
        return previous**0.5, 0.0, (1 - previous) ** 0.5, 0.0
    if scheduler.config.variance_type not in ("fixed_small", "fixed_large"):
        raise _unrecordable(scheduler, f"variance_type is {scheduler.config.variance_type}")
    before = int(scheduler.previous_timestep(time))  # Ho et al., 2020, equation 7
    previous = float(alphas[before]) if before >= 0 else 1.0
    step = alpha / previous
    noise = float(scheduler._get_variance(time)) ** 0.5 if time > 0 else 0.0
    return previous**0.5 * (1 - step) / (1 - alpha), step**0.5 * (1 - previous) / (1 - alpha), 0.0, noise


def replay(
    recorded: Mapping[str, Array], noise: Callable[[], Array], predict: Callable[[Array, float], Array]
) -> Array:
    """Run the loop from its record, as the served code does. The record is checked with this."""
    terms = [noise().astype(np.float64)]  # the noise, then the model outputs
    if "factors" in recorded:
        for row, time, scale in zip(recorded["factors"], recorded["times"], recorded["scales"], strict=False):
            sample = sum(factor * term for factor, term in zip(row, terms, strict=False))
            terms.append(predict(sample * scale, float(time)))
        return np.asarray(sum(factor * term for factor, term in zip(recorded["factors"][-1], terms, strict=True)))
    (sample,) = terms
    for row, time in zip(recorded["rows"], recorded["times"], strict=True):
        output = predict(sample, float(time))
        original = (row[0] * sample + row[1] * output).clip(-recorded["clip"], recorded["clip"])
        sample = row[2] * original + row[3] * sample + row[4] * output + (row[5] * noise() if row[5] else 0)
    return np.asarray(sample)


def _difference(scheduler: Any, steps: int, recorded: Mapping[str, Array]) -> float:
    """The largest difference between the record and the scheduler, run with a synthetic model; relative to the result's largest
    element if that is above 1."""
    scheduler, shape = copy.deepcopy(scheduler), (1, 4, 6, 6)
    generator, replay_generator = (torch.Generator().manual_seed(steps) for _ in range(2))
    scheduler.set_timesteps(steps)
    sample = torch.randn(shape, generator=generator) * scheduler.init_noise_sigma
    options = {"generator": generator} if "rows" in recorded else {}
    for time in scheduler.timesteps:
        output = _synthetic_model(scheduler.scale_model_input(sample, time), float(time))
        sample = scheduler.step(output, time, sample, return_dict=False, **options)[0]
    actual = replay(
        recorded,
        lambda: torch.randn(shape, generator=replay_generator).numpy(),
        lambda given, time: _synthetic_model(torch.from_numpy(given).float(), time).double().numpy(),
    )
    expected = sample.double().numpy()
    return float(np.abs(actual - expected).max() / max(1.0, np.abs(expected).max()))


def _synthetic_model(sample: torch.Tensor, time: float) -> torch.Tensor:
    """A nonlinear function that depends on the timestep."""
    return torch.tanh(0.8 * sample + 0.1 * sample.roll(1, dims=-1)) * (0.9 + 1e-4 * time)


def _names(arrays: Mapping[str, Array], steps: int) -> list[str]:
    return [name.partition("/")[2] for name in arrays if name.startswith(f"{steps}/")]


def _unrecordable(scheduler: Any, why: str) -> BakeError:
    return BakeError(
        f"{type(scheduler).__name__} cannot be recorded: {why}.",
        next_action="choose another scheduler in scheduler/scheduler_config.json, or write the sampling loop in model.py",
    )
