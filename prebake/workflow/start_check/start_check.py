"""Check a built image: start it a few times, compare its answer with the framework's, and time it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from statistics import median
from typing import Any

from prebake.errors import AnswerDiffers, ContainerError
from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.start import Start, time_first_answers, time_ready
from prebake.measure.warmup_request import WarmupRequest, read_warmups
from prebake.plan.values import Plan
from prebake.spec.image.component import ComponentSpec
from prebake.workflow.start_check.gpu import NO_GPU_NEEDED, GpuAccess


@dataclass(frozen=True)
class StartMeasurement:
    """Measurements of a few starts, by model. ``readies`` are the results of ``time_ready``."""

    starts: Mapping[str, Sequence[Start]]
    readies: Sequence[tuple[float, Mapping[str, Any]]]
    floor: Floor

    @property
    def ready(self) -> Sequence[float]:
        """Seconds until ready."""
        return [seconds for seconds, _ in self.readies]

    @property
    def startup(self) -> Mapping[str, Any]:
        """The server's report of the last start."""
        return self.readies[-1][1]

    @property
    def ttfi(self) -> float:
        """Median of seconds until every model had answered."""
        runs = zip(*self.starts.values(), strict=True)
        return float(median(max(start.ttfi for start in run) for run in runs))


@dataclass(frozen=True)
class StartCheck:
    """How an image was checked. ``answered`` is empty if it was not started: it went to no Engine, or the Engine has no GPU
    and ``not_started`` says why the image cannot run on a CPU.

    ``answered``: the start whose answers were compared first, by model; no figure of it is reported. ``measured``: None without
    timed starts.
    """

    device: GpuAccess = NO_GPU_NEEDED
    not_started: str = ""
    answered: Mapping[str, Start] = field(default_factory=dict)
    measured: StartMeasurement | None = None

    @property
    def difference(self) -> float:
        """The largest difference of an answer from its reference; 0 if the image was not started."""
        starts = [*self.answered.values(), *(chain(*self.measured.starts.values()) if self.measured else ())]
        return max((start.difference for start in starts), default=0.0)

    @property
    def api(self) -> Mapping[str, Any]:
        """The OpenAPI document of the image's server; empty if the image was not started."""
        return next((start.api for start in self.answered.values()), {})

    @property
    def description(self) -> str:
        """What the check does, for people."""
        what = "start it, send it a request, compare its answer with the reference"
        if not self.device.unavailable:
            return what
        how = f"it is not started: {self.not_started}" if self.not_started else f"{what}, on the CPU only"
        return f"the Engine has no GPU to check it on ({self.device.unavailable}); {how}"

    @property
    def gpu(self) -> dict[str, Any] | None:
        """The report's entry; None if the image is not for a GPU, or not in an Engine."""
        if not self.device.required:
            return None
        reasons = {
            name: text
            for name, text in (("unavailable", self.device.unavailable), ("not_started", self.not_started))
            if text
        }
        return {"verified": not self.device.unavailable, **reasons}


def check_start(launcher: Launcher, image: str, starts: int, check: StartCheck) -> StartCheck:
    """Start the image, compare its answers, and measure a few more starts for the report, which is no benchmark.

    The first start also warms the page cache. Raises AnswerDiffers and StartFailed.
    """
    warmups = read_warmups(launcher, image)
    answered = time_first_answers(launcher, image, warmups, steady_runs=0, wants_api=True)
    measured = _measure_starts(launcher, image, warmups, starts) if starts else None
    return replace(check, answered=answered, measured=measured)


def _measure_starts(
    launcher: Launcher, image: str, warmups: Mapping[str, WarmupRequest], starts: int
) -> StartMeasurement:
    """``starts`` fresh starts get a request at once, and ``starts`` more are timed until ready. The floor
    (``prebake.measure.floor``) takes containers of its own."""
    runs = [time_first_answers(launcher, image, warmups) for _ in range(starts)]
    by_model = {name: [run[name] for run in runs] for name in warmups}
    readies = [time_ready(launcher, image) for _ in range(starts)]
    # Of several models the slowest: they can answer in parallel.
    steady = max(median(start.steady for start in starts_of_model) for starts_of_model in by_model.values())
    floor = measure_floor(launcher, image, steady, runs=starts)
    return StartMeasurement(by_model, readies, floor)


@contextmanager
def explain_precision(plan: Plan) -> Iterator[None]:
    """If an image with a component of reduced precision answers outside the tolerance of the fp32 reference, raise
    AnswerDiffers with the ``tolerance:`` to write into image.yaml."""
    try:
        yield
    except ContainerError as error:
        for model in plan.models:
            reduced = list(_reduced(model.spec.components))
            difference = _largest_difference(error, model.name if plan.members else "")
            if reduced and difference:
                raise AnswerDiffers(
                    f"{error.message}\nThe reference was computed in fp32, and {', '.join(reduced)}.",
                    next_action=f"if the model's use allows a difference of {difference:.3g}, write `warmup: {{tolerance: "
                    f"{_with_room(difference):g}}}` in images/{model.name}/image.yaml; otherwise choose another precision",
                ) from error
        raise


def _reduced(components: Mapping[str, ComponentSpec]) -> Iterator[str]:
    """The reasons why an answer may differ from the reference by more than export.py allows."""
    for name, component in components.items():
        if component.reduced:
            yield f"{name} is {component.precision.type}"
        elif component.precision.max_relative_error is not None:
            yield f"{name} may have a relative error of {component.precision.max_relative_error:g}"


def _largest_difference(error: ContainerError, model: str) -> float | None:
    """The difference that the container logged with its fault. ``model`` is a model's name in an image of several, else
    empty."""
    figures = (fault.get("largest_difference") for fault in error.details if fault.get("model", "") == model)
    return next((float(figure) for figure in figures if isinstance(figure, (int, float))), None)


def _with_room(difference: float) -> float:
    """One and a half times the difference, rounded up to one digit, since another processor rounds differently."""
    step = 10.0 ** math.floor(math.log10(1.5 * difference))
    return math.ceil(1.5 * difference / step) * step
