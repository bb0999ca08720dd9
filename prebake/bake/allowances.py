"""What an answer in fp32 may differ by from the framework's, on any processor.

Two correct programs round differently, and how much that changes an output depends on the network: on how large its numbers are,
and on how many of them cancel out. So each bound is a sum of

- a share of the output's largest number,
- a multiple of the framework's own rounding error, which is its distance from the same computation in float64, and
- for a graph whose numbers are quantised as it runs, how far a quarter of a quantisation step moves the output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError
from prebake.bake.parity import Tolerance

SHARE = 1e-4
"""Of the largest number. fp32 has 24 binary digits, so that about 800 roundings in the same direction stay below it."""
ERRORS = 8
"""Kernels for other instruction sets add up in another order: their error is of the framework's own size, and not equal."""
_MOST_ERROR, _MOST_STEP = 0.01, 0.25
"""Shares of the largest number that those two parts stay below. An output that is further from float64, or moves further, jumps
at some input (a rounding, the largest of several): no bound would prove anything about it."""
Answers = Mapping[str, Array]


@dataclass(frozen=True)
class Allowance:
    """Of one output. ``scale``: its largest number. ``framework_error``: the framework's largest distance from float64, None if
    that could not be computed. ``scale`` then counts as 1 at least, as it does if it is 0. ``step``: what a quarter of each
    quantisation step changes, 0 if nothing is quantised. Whole numbers have a scale of 0."""

    scale: float
    framework_error: float | None = None
    step: float = 0.0

    @property
    def tolerance(self) -> float:
        """The largest absolute difference that is allowed."""
        step = min(self.step, _MOST_STEP * self.scale) if self.scale else self.step
        if self.framework_error is None or not self.scale:
            return SHARE * max(1.0, self.scale) + step
        return SHARE * self.scale + min(ERRORS * self.framework_error, _MOST_ERROR * self.scale) + step

    @classmethod
    def read(cls, told: Mapping[str, float | None]) -> Allowance:
        """What ``to_dict`` gave."""
        return cls(told["scale"] or 0.0, told["framework_error"], told["step"] or 0.0)

    def to_dict(self) -> dict[str, float | None]:
        return {**asdict(self), "tolerance": self.tolerance}

    def __str__(self) -> str:
        parts = [f"{SHARE:g} of its largest number {self.scale:.3g}"]
        if self.framework_error is not None:
            parts.append(f"{ERRORS} times the framework's own rounding error {self.framework_error:.3g}")
        if self.step:
            parts.append(f"what a quarter of each quantisation step changes, {self.step:.3g}")
        return " plus ".join(parts)


def allow(
    answers: Sequence[Answers],
    exact: Sequence[Answers | None] = (),
    moved: Sequence[Answers] = (),
) -> dict[str, Allowance]:
    """By output. answers: the framework's, of each case. exact: the same in float64, None for a case that it could not compute.
    moved: answers of the same cases, as often as there are, with activations rounded otherwise."""
    names = dict.fromkeys(name for answer in answers for name in answer)
    return {
        name: Allowance(
            max(_scale(answer[name]) for answer in answers),
            _error(name, answers, exact),
            _step(name, answers, moved),
        )
        for name in names
    }


def settle(
    component: str, allowances: Mapping[str, Allowance], given: Tolerance | None = None
) -> tuple[Tolerance, dict[str, dict[str, float | None]]]:
    """The tolerances that count: those that are given, and what is allowed for the outputs that they do not name. Then, for
    these outputs, what that follows from. Raises BakeError for a name that is no output."""
    if given is not None and not isinstance(given, Mapping):
        return given, {}
    named = given or {}
    if unknown := sorted(named.keys() - allowances.keys()):
        raise BakeError(
            f"{component}: there is a tolerance of '{', '.join(unknown)}', which is no output.",
            next_action=f"It has: {', '.join(allowances)}.",
        )
    derived = {name: each for name, each in allowances.items() if name not in named}
    tolerances = {name: each.tolerance for name, each in derived.items()}
    return {**tolerances, **named}, {name: each.to_dict() for name, each in derived.items()}


def tolerance_of(*answers: Answers) -> dict[str, float]:
    """What two ways of computing the same in fp32 may differ by, by output, if nothing but the answers is known."""
    return {name: each.tolerance for name, each in allow(answers).items()}


def _scale(output: Array) -> float:
    """The largest finite number; 0 if the output has no floating point numbers."""
    if output.dtype.kind != "f":
        return 0.0
    return float(np.max(np.abs(output.astype(np.float64)), initial=0.0, where=np.isfinite(output)))


def _error(name: str, answers: Sequence[Answers], exact: Sequence[Answers | None]) -> float | None:
    """None unless float64 gave every case a finite answer."""
    found = [
        _distance(answer[name], each[name]) if each is not None and answer[name].dtype.kind == "f" else math.nan
        for answer, each in zip(answers, exact, strict=bool(exact))
    ]
    largest = max(found, default=math.nan)
    return largest if found and all(map(math.isfinite, found)) else None


def _step(name: str, answers: Sequence[Answers], moved: Sequence[Answers]) -> float:
    """The largest distance that can be measured; 0 if there is none."""
    found = (_distance(answers[at % len(answers)][name], each[name]) for at, each in enumerate(moved))
    return max((each for each in found if math.isfinite(each)), default=0.0)


def _distance(left: Array, right: Array) -> float:
    """The largest difference of two finite numbers. NaN for outputs that differ in shape, or in which of their numbers are
    finite; 0 for text."""
    if left.dtype.kind == "O":
        return 0.0
    one, other = left.astype(np.float64), right.astype(np.float64)
    if one.shape != other.shape or not np.array_equal(finite := np.isfinite(one), np.isfinite(other)):
        return math.nan
    return float(np.max(np.abs(one[finite] - other[finite]), initial=0.0))
