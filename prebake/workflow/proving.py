"""A built image proved: started a few times, asked, compared with the framework's answer, timed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from prebake.errors import AnswerDiffers, StartFailed
from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.starting import Start, time_first_answers, time_ready
from prebake.measure.warmup import read_warmups
from prebake.plan.values import Plan
from prebake.spec.component import Component
from prebake.workflow.device import NONE, Device

_APART = re.compile(r"differ by up to ([0-9.e+-]+)")
"""How the container says it (entrypoints/answers.py)."""


@dataclass(frozen=True)
class Measured:
    """What a few starts of a built image showed, by model; ``ready`` in seconds, ``startup`` the server's account of the
    last."""

    starts: Mapping[str, Sequence[Start]]
    ready: Sequence[float]
    startup: Mapping[str, Any]
    floor: Floor

    @property
    def ttfi(self) -> float:
        """Seconds until every model had answered."""
        runs = zip(*self.starts.values(), strict=True)
        return float(median(max(start.ttfi for start in run) for run in runs))

    @property
    def difference(self) -> float:
        """The largest from a reference."""
        return max(start.difference for starts in self.starts.values() for start in starts)


@dataclass(frozen=True)
class Proof:
    """How an image was proved. ``measured`` is None where it was not started: it went to no Engine, or the Engine has no GPU and
    ``unstarted`` says why no CPU can take its place."""

    device: Device = NONE
    unstarted: str = ""
    measured: Measured | None = None

    @property
    def plan(self) -> str:
        """What is going to be done, for people."""
        what = "start it, ask it, compare its answer with the reference"
        if not self.device.lacking:
            return what
        how = f"it is not started: {self.unstarted}" if self.unstarted else f"{what}, by the CPU alone"
        return f"there is no GPU to prove it on ({self.device.lacking}); {how}"

    @property
    def gpu(self) -> dict[str, Any] | None:
        """The report's words; None where the image is for no GPU, or in no Engine."""
        if not self.device.wanted:
            return None
        said = {name: text for name, text in (("said", self.device.lacking), ("unstarted", self.unstarted)) if text}
        return {"proved": not self.device.lacking, **said}


def measure_start(launcher: Launcher, image: str, starts: int) -> Measured:
    """A few fresh starts: for the report, not a benchmark. The first warms the page cache and is not counted; as many as
    ``starts`` are asked at once, as many watched."""
    warmups = read_warmups(launcher, image)
    time_first_answers(launcher, image, warmups, steady_runs=0)
    runs = [time_first_answers(launcher, image, warmups) for _ in range(starts)]
    by_model = {name: [run[name] for run in runs] for name in warmups}
    readies = [time_ready(launcher, image) for _ in range(starts)]
    # Of several models the slowest: their answers may be had side by side.
    steady = max(median(start.steady for start in each) for each in by_model.values())
    floor = measure_floor(launcher, image, steady, runs=starts)
    return Measured(by_model, [seconds for seconds, _ in readies], readies[-1][1], floor)


@contextmanager
def precision_told(plan: Plan) -> Iterator[None]:
    """Where an image with a component of another precision than fp32 starts, and gives an answer that its reference, which is
    of fp32, does not allow: tell what to write about it. Raises AnswerDiffers."""
    try:
        yield
    except (StartFailed, AnswerDiffers) as error:
        for model in plan.models:
            reduced = list(_reduced(model.spec.components))
            apart = _apart(error.message, model.name if plan.members else "")
            if reduced and apart:
                raise AnswerDiffers(
                    f"{error.message}\nThe reference is of fp32, and {', '.join(reduced)}.",
                    next_action=f"if the model's use allows a difference of {apart}, write `warmup: {{tolerance: "
                    f"{_with_room(float(apart)):g}}}` in images/{model.name}/image.yaml; otherwise choose another precision",
                ) from error
        raise


def _reduced(components: Mapping[str, Component]) -> Iterator[str]:
    """Why an answer may be further from its reference than export.py allows, in words."""
    for name, each in components.items():
        if each.reduced:
            yield f"{name} is {each.precision.type}"
        elif each.precision.bound is not None:
            yield f"{name} may have a relative error of {each.precision.bound:g}"


def _apart(message: str, model: str) -> str | None:
    """How far the container says that its answer is; ``model`` is the one that has to be named, where there are several."""
    lines = (line for line in message.splitlines() if not model or re.search(rf"(?<!\w){model}: ", line))
    return next((found[1] for line in lines if (found := _APART.search(line))), None)


def _with_room(difference: float) -> float:
    """Half as much again, rounded up to one digit: another processor rounds otherwise."""
    step = 10.0 ** math.floor(math.log10(1.5 * difference))
    return math.ceil(1.5 * difference / step) * step
