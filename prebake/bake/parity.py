"""Whether a baked graph answers as the framework did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from prebake.bake.arrays import Array
from prebake.bake.errors import ParityFailed
from prebake.errors import Problem

Tolerance = float | Mapping[str, float]
"""Of every output, or by an output's name."""


@dataclass(frozen=True)
class Case:
    """Inputs of a component by name, and what the framework answered to them."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Finding:
    """One output of one case. ``difference`` is the largest absolute one, None where ``fault`` says why."""

    component: str
    case: int
    output: str
    tolerance: float
    difference: float | None
    fault: str = ""

    @property
    def passed(self) -> bool:
        return self.difference is not None and self.difference <= self.tolerance  # NaN is not

    def problem(self) -> Problem:
        what = self.fault or f"differs by {self.difference:.3g} at most, allowed is {self.tolerance:.3g}"
        return Problem(f"{self.component}, case {self.case}, output '{self.output}'", what)


def tolerance_of(*answers: Mapping[str, Array]) -> dict[str, float]:
    """What two ways of computing the same in fp32 may differ by, by output: rounding grows with the numbers, 1e-4 for those
    about 1. Whole numbers are not rounded."""
    names = dict.fromkeys(name for answer in answers for name in answer)
    return {name: 1e-4 * max(1.0, *(_largest(answer[name]) for answer in answers)) for name in names}


def _largest(output: Array) -> float:
    return float(np.max(np.abs(output.astype(np.float64)), initial=0.0)) if output.dtype.kind == "f" else 0.0


def compare(
    component: str, session: ort.InferenceSession, cases: Sequence[Case], tolerance: Tolerance
) -> tuple[Finding, ...]:
    """Run every case; one finding for each output of each. A case that cannot be run is a finding too."""
    return tuple(
        Finding(component, number, output, _allowed(output, wanted, tolerance), *_judge(wanted, answers.get(output)))
        for number, case in enumerate(cases, start=1)
        for answers in (_run(session, case),)
        for output, wanted in case.outputs.items()
    )


def check(findings: Sequence[Finding]) -> None:
    """Raise ParityFailed with every finding that did not pass, of all components at once."""
    problems = [finding.problem() for finding in findings if not finding.passed]
    if problems:
        raise ParityFailed(
            "Baked graphs answer otherwise than the framework:",
            problems,
            next_action="Look for a shape or a branch that the export fixed; raise the tolerance only with a reason.",
        )


def _run(session: ort.InferenceSession, case: Case) -> dict[str, Array | Exception]:
    # The exporter drops an input that nothing depends on.
    names = {each.name for each in session.get_inputs()}
    try:
        answers = session.run(list(case.outputs), {name: each for name, each in case.inputs.items() if name in names})
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        return dict.fromkeys(case.outputs, error)
    return dict(zip(case.outputs, answers, strict=True))


def _allowed(output: str, wanted: Array, tolerance: Tolerance) -> float:
    if wanted.dtype.kind in "biu":
        return 0.0
    return tolerance[output] if isinstance(tolerance, Mapping) else tolerance


def _judge(wanted: Array, got: Array | Exception | None) -> tuple[float | None, str]:
    if not isinstance(got, np.ndarray):
        return None, f"cannot be run: {got}"
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return None, f"is {got.dtype} {list(got.shape)}, the framework's {wanted.dtype} {list(wanted.shape)}"
    if not wanted.size:
        return 0.0, ""
    return float(np.max(np.abs(wanted.astype(np.float64) - got.astype(np.float64)))), ""
