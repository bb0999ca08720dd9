"""A diffusion scheduler's loop as numbers, recorded from diffusers' own object, so that serving needs no diffusers.

Between two calls of the network a scheduler without clipping and without noise of its own only adds: each sample is a sum of
the first noise and of what the network said so far, with factors that the number of steps alone decides. Run on unit
vectors instead of pictures, the scheduler gives these factors itself, whatever its method and its order are. DDPM and DDIM
that clip or add noise are taken down step by step instead. Either is held against the scheduler before it is kept.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError

Predict = Callable[[torch.Tensor, float], torch.Tensor]
_TOLERANCE = 1e-4  # of a sample whose largest element is about 1
_STEPWISE = ("DDPMScheduler", "DDIMScheduler")


def record_schedule(scheduler: Any, steps: Sequence[int]) -> bytes:
    """An ``.npz`` archive with the arrays of each number of steps that the scheduler takes, named ``<steps>/<array>``.

    - ``times`` [n]: what the network is told, call by call; ``scales`` [n]: what samples are multiplied by before it
    - ``factors`` [n + 1, n + 1]: row k is the sample before call k by (noise, answer 0, answer 1, …), the last the result
    - or ``rows`` [n, 6]: (of the sample, of the answer) the signal, which is clipped; (of the signal, sample, answer, fresh
      noise) the next sample; and ``clip`` []: infinity where nothing is clipped
    Raises BakeError where the scheduler does more than that.
    """
    arrays: dict[str, Array] = {}
    for count in steps:
        recorded = _record_if_taken(copy.deepcopy(scheduler), count)
        arrays |= {f"{count}/{name}": array for name, array in recorded.items()}
    taken = sorted({int(name.partition("/")[0]) for name in arrays})
    if not taken:
        raise _unrecordable(scheduler, f"it takes none of {min(steps)} to {max(steps)} steps")
    for count in {taken[0], taken[len(taken) // 3], taken[-1]}:
        difference = _difference(scheduler, count, {name: arrays[f"{count}/{name}"] for name in _names(arrays, count)})
        if not difference <= _TOLERANCE:  # NaN is not
            raise _unrecordable(scheduler, f"its {count} steps differ by {difference:.3g} from the record of them")
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _record_if_taken(scheduler: Any, steps: int) -> Mapping[str, Array]:
    """Nothing where the scheduler does not take so many steps."""
    try:
        return _record(scheduler, steps)
    except BakeError:
        raise
    except Exception:  # schedulers raise what they please for it
        return {}


def _record(scheduler: Any, steps: int) -> Mapping[str, Array]:
    scheduler.set_timesteps(steps)
    name, config = type(scheduler).__name__, scheduler.config
    if config.get("thresholding"):
        raise _unrecordable(scheduler, "`thresholding` looks at the whole sample")
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
    config, kept = scheduler.config, scheduler.alphas_cumprod.double()
    if config.prediction_type != "epsilon":
        raise _unrecordable(scheduler, f"prediction_type is {config.prediction_type}")
    rows = []
    for time in map(int, scheduler.timesteps):
        here = float(kept[time])
        split = (here**-0.5, -((1 - here) ** 0.5) * here**-0.5)
        rows.append([*split, *_next(scheduler, time, steps, here)])
    clip = config.clip_sample_range if config.clip_sample else np.inf
    return {
        "times": scheduler.timesteps.numpy().astype(np.float64),
        "rows": np.array(rows),
        "clip": np.array(clip, dtype=np.float64),
    }


def _next(scheduler: Any, time: int, steps: int, here: float) -> tuple[float, float, float, float]:
    """What the next sample is made of: signal, sample, the network's answer, fresh noise."""
    kept = scheduler.alphas_cumprod.double()
    if type(scheduler).__name__ == "DDIMScheduler":  # Song et al., 2021, equation 12 without noise
        before = time - scheduler.config.num_train_timesteps // steps
        there = float(kept[before] if before >= 0 else scheduler.final_alpha_cumprod)
        return there**0.5, 0.0, (1 - there) ** 0.5, 0.0
    if scheduler.config.variance_type not in ("fixed_small", "fixed_large"):
        raise _unrecordable(scheduler, f"variance_type is {scheduler.config.variance_type}")
    before = int(scheduler.previous_timestep(time))  # Ho et al., 2020, equation 7
    there = float(kept[before]) if before >= 0 else 1.0
    step = here / there
    noise = float(scheduler._get_variance(time)) ** 0.5 if time > 0 else 0.0
    return there**0.5 * (1 - step) / (1 - here), step**0.5 * (1 - there) / (1 - here), 0.0, noise


def replay(
    recorded: Mapping[str, Array], noise: Callable[[], Array], predict: Callable[[Array, float], Array]
) -> Array:
    """The loop over a record, as a server has it: the reference that the record is checked by."""
    seen = [noise().astype(np.float64)]
    if "factors" in recorded:
        for row, time, scale in zip(recorded["factors"], recorded["times"], recorded["scales"], strict=False):
            sample = sum(factor * each for factor, each in zip(row, seen, strict=False))
            seen.append(predict(sample * scale, float(time)))
        return np.asarray(sum(factor * each for factor, each in zip(recorded["factors"][-1], seen, strict=True)))
    (sample,) = seen
    for row, time in zip(recorded["rows"], recorded["times"], strict=True):
        said = predict(sample, float(time))
        signal = (row[0] * sample + row[1] * said).clip(-recorded["clip"], recorded["clip"])
        sample = row[2] * signal + row[3] * sample + row[4] * said + (row[5] * noise() if row[5] else 0)
    return np.asarray(sample)


def _difference(scheduler: Any, steps: int, recorded: Mapping[str, Array]) -> float:
    """The largest difference between the record and the scheduler itself, with a made-up network; of a result whose
    largest element is above 1, so much of it."""
    scheduler, shape = copy.deepcopy(scheduler), (1, 4, 6, 6)
    theirs, ours = (torch.Generator().manual_seed(steps) for _ in range(2))
    scheduler.set_timesteps(steps)
    sample = torch.randn(shape, generator=theirs) * scheduler.init_noise_sigma
    options = {"generator": theirs} if "rows" in recorded else {}
    for time in scheduler.timesteps:
        said = _made_up(scheduler.scale_model_input(sample, time), float(time))
        sample = scheduler.step(said, time, sample, return_dict=False, **options)[0]
    got = replay(
        recorded,
        lambda: torch.randn(shape, generator=ours).numpy(),
        lambda given, time: _made_up(torch.from_numpy(given).float(), time).double().numpy(),
    )
    wanted = sample.double().numpy()
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def _made_up(sample: torch.Tensor, time: float) -> torch.Tensor:
    """A network that is not linear, and differs by time."""
    return torch.tanh(0.8 * sample + 0.1 * sample.roll(1, dims=-1)) * (0.9 + 1e-4 * time)


def _names(arrays: Mapping[str, Array], steps: int) -> list[str]:
    return [name.partition("/")[2] for name in arrays if name.startswith(f"{steps}/")]


def _unrecordable(scheduler: Any, why: str) -> BakeError:
    return BakeError(
        f"{type(scheduler).__name__} cannot be recorded: {why}.",
        next_action="Choose another scheduler in scheduler/scheduler_config.json, or write its loop in model.py.",
    )
