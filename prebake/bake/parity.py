"""Whether a baked graph answers as the framework did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from prebake.bake.arrays import Array
from prebake.bake.errors import ParityFailed
from prebake.errors import Problem


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


def tolerance_of(outputs: Mapping[str, Array]) -> float:
    """What two ways of computing the same in fp32 may differ by: rounding grows with the numbers, 1e-4 for those about 1.
    Whole numbers are not rounded, and do not count: an id of thousands says nothing of a score beside it."""
    fractions = (each.astype(np.float64) for each in outputs.values() if each.dtype.kind == "f")
    return 1e-4 * max([1.0, *(float(np.max(np.abs(each), initial=0.0)) for each in fractions)])


def compare(
    component: str, session: ort.InferenceSession, cases: Sequence[Case], tolerance: float
) -> tuple[Finding, ...]:
    """Run every case; one finding for each output of each. A case that cannot be run is a finding too."""
    return tuple(
        Finding(component, number, output, _allowed(wanted, tolerance), *_judge(wanted, answers.get(output)))
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


def _allowed(wanted: Array, tolerance: float) -> float:
    return 0.0 if wanted.dtype.kind in "biu" else tolerance


def _judge(wanted: Array, got: Array | Exception | None) -> tuple[float | None, str]:
    if not isinstance(got, np.ndarray):
        return None, f"cannot be run: {got}"
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return None, f"is {got.dtype} {list(got.shape)}, the framework's {wanted.dtype} {list(wanted.shape)}"
    if not wanted.size:
        return 0.0, ""
    return float(np.max(np.abs(wanted.astype(np.float64) - got.astype(np.float64)))), ""
