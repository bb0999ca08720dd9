"""Derives how much a graph's fp32 output may differ from the framework's, on any processor.

Two correct programs round differently. The effect on an output depends on the network: on the magnitude of its values and on
cancellation. So each tolerance is the sum of

- a share of the output's largest number,
- a multiple of the framework's own rounding error: its distance from the same computation in float64, and
- for a graph that quantizes activations, the change of the output if they shift by a quarter of a quantization step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from prebake.bake.errors import BakeError
from prebake.bake.parity.compare import Tolerance
from prebake.bake.weights.numpy_arrays import Array

RELATIVE_TOLERANCE = 1e-4
"""Relative to the output's largest number. fp32 has a 24-bit significand: about 800 roundings in one direction stay below it."""
ROUNDING_ERROR_FACTOR = 8
"""Kernels for other instruction sets sum in another order, so their error has the framework's magnitude but another value."""
_MAX_ERROR, _MAX_STEP = 0.01, 0.25
"""Upper limits of the other two parts, relative to the largest number. An output beyond them is discontinuous (rounding, argmax):
a larger tolerance would prove nothing."""
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class ToleranceBasis:
    """The measurements that the tolerance of one output follows from."""

    scale: float
    """The output's largest number; 0 for integers. Counts as at least 1 if it is 0 or if ``framework_error`` is None."""
    framework_error: float | None = None
    """The framework's largest distance from float64; None if float64 could not be computed."""
    step: float = 0.0
    """The change of the output if activations shift by a quarter of a quantization step; 0 if nothing is quantized."""

    @property
    def tolerance(self) -> float:
        """The largest absolute difference allowed."""
        step = min(self.step, _MAX_STEP * self.scale) if self.scale else self.step
        if self.framework_error is None or not self.scale:
            return RELATIVE_TOLERANCE * max(1.0, self.scale) + step
        return (
            RELATIVE_TOLERANCE * self.scale
            + min(ROUNDING_ERROR_FACTOR * self.framework_error, _MAX_ERROR * self.scale)
            + step
        )

    @classmethod
    def read(cls, values: Mapping[str, float | None]) -> ToleranceBasis:
        """Inverse of ``to_dict``."""
        return cls(values["scale"] or 0.0, values["framework_error"], values["step"] or 0.0)

    def to_dict(self) -> dict[str, float | None]:
        return {**asdict(self), "tolerance": self.tolerance}

    def __str__(self) -> str:
        parts = [f"{RELATIVE_TOLERANCE:g} of the output's largest number {self.scale:.3g}"]
        if self.framework_error is not None:
            parts.append(f"{ROUNDING_ERROR_FACTOR} times the framework's rounding error {self.framework_error:.3g}")
        if self.step:
            parts.append(f"the effect of a quarter quantization step, {self.step:.3g}")
        return " plus ".join(parts)


def find_tolerance_bases(
    outputs: Sequence[Outputs],
    exact: Sequence[Outputs | None] = (),
    shifted: Sequence[Outputs] = (),
) -> dict[str, ToleranceBasis]:
    """The tolerance basis of each output.

    outputs: the framework's outputs of each case. exact: the same computed in float64; None for a case that failed.
    shifted: outputs of the same cases with shifted activations, repeated for each shift.
    """
    names = dict.fromkeys(name for case in outputs for name in case)
    return {
        name: ToleranceBasis(
            scale=max(_scale(case[name]) for case in outputs),
            framework_error=_framework_error(name, outputs, exact),
            step=_step(name, outputs, shifted),
        )
        for name in names
    }


def resolve_tolerances(
    component: str, bases: Mapping[str, ToleranceBasis], given: Tolerance | None = None
) -> tuple[Tolerance, dict[str, dict[str, float | None]]]:
    """The tolerances to use: ``given`` ones, and derived ones for outputs that ``given`` does not name; and the bases of the
    derived ones. Raises BakeError if ``given`` names something that is not an output."""
    if given is not None and not isinstance(given, Mapping):
        return given, {}
    named = given or {}
    if unknown := sorted(named.keys() - bases.keys()):
        raise BakeError(
            f"{component}: `tolerance` names '{', '.join(unknown)}', which is not an output.",
            next_action=f"use the names of its outputs: {', '.join(bases)}",
        )
    derived = {name: basis for name, basis in bases.items() if name not in named}
    tolerances = {name: basis.tolerance for name, basis in derived.items()}
    return {**tolerances, **named}, {name: basis.to_dict() for name, basis in derived.items()}


def default_tolerances(*outputs: Outputs) -> dict[str, float]:
    """The tolerance of each output if only the outputs of the cases are known."""
    return {name: basis.tolerance for name, basis in find_tolerance_bases(outputs).items()}


def _scale(output: Array) -> float:
    """The largest finite magnitude; 0 if the output is not floating point."""
    if output.dtype.kind != "f":
        return 0.0
    return float(np.max(np.abs(output.astype(np.float64)), initial=0.0, where=np.isfinite(output)))


def _framework_error(name: str, outputs: Sequence[Outputs], exact: Sequence[Outputs | None]) -> float | None:
    """None unless float64 gave finite outputs for every case."""
    distances = [
        _distance(case[name], reference[name]) if reference is not None and case[name].dtype.kind == "f" else math.nan
        for case, reference in zip(outputs, exact, strict=bool(exact))
    ]
    return max(distances) if distances and all(map(math.isfinite, distances)) else None


def _step(name: str, outputs: Sequence[Outputs], shifted: Sequence[Outputs]) -> float:
    """The largest finite distance; 0 if there is none."""
    distances = (_distance(outputs[at % len(outputs)][name], case[name]) for at, case in enumerate(shifted))
    return max((distance for distance in distances if math.isfinite(distance)), default=0.0)


def _distance(left: Array, right: Array) -> float:
    """The largest difference of two finite elements; 0 for text. NaN if the outputs differ in shape, or in which elements are
    finite."""
    if left.dtype.kind == "O":
        return 0.0
    one, other = left.astype(np.float64), right.astype(np.float64)
    if one.shape != other.shape or not np.array_equal(finite := np.isfinite(one), np.isfinite(other)):
        return math.nan
    return float(np.max(np.abs(one[finite] - other[finite]), initial=0.0))
