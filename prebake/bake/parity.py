"""Whether a baked graph answers as the framework did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.errors import ParityFailed
from prebake.bake.quality import Quality, find_not_finite, measure
from prebake.errors import Problem

Tolerance = float | Mapping[str, float]
"""Of every output, or by an output's name."""
NO_BASIS: Mapping[str, str] = {}


class Runs(Protocol):
    """What is asked of a session of ONNX Runtime."""

    def get_inputs(self) -> Sequence[Any]: ...

    def run(self, outputs: list[str], inputs: Mapping[str, Array], /) -> Sequence[Array]: ...


@dataclass(frozen=True)
class Case:
    """Inputs of a component by name, and what the framework answered to them."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Finding:
    """One output of one case. ``difference`` is the largest absolute one, or where ``relative`` the relative error; it is None
    where ``fault`` says why. ``tolerance`` is what of it is allowed, and ``basis`` says what that follows from. ``bucket`` is the
    one that the inputs were padded to, and ``axes`` are those along which that alone changes the output."""

    component: str
    case: int
    output: str
    tolerance: float
    difference: float | None
    fault: str = ""
    relative: bool = False
    quality: Quality | None = None
    basis: str = ""
    bucket: str = ""
    axes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.difference is not None and self.difference <= self.tolerance  # NaN is not

    def problem(self) -> Problem:
        where = f"{self.component}, case {self.case}{f' in the bucket {self.bucket}' if self.bucket else ''}"
        changed = f"padding {' and '.join(self.axes)} changes it" if self.axes else ""
        return Problem(f"{where}, output '{self.output}'", self.fault or self._far(), changed)

    def _far(self) -> str:
        if self.relative:
            return f"has a relative error of {self.difference:.3g}, its bound is {self.tolerance:.3g}"
        basis = f" ({self.basis})" if self.basis else ""
        return f"differs by {self.difference:.3g} at most, allowed is {self.tolerance:.3g}{basis}"


def compare(
    component: str,
    session: Runs,
    cases: Sequence[Case],
    tolerance: Tolerance,
    *,
    relative: bool = False,
    basis: Mapping[str, str] = NO_BASIS,
) -> tuple[Finding, ...]:
    """Run every case; one finding for each output of each. A case that cannot be run is a finding too.

    relative: ``tolerance`` is a bound of the relative error, of whole numbers of the share that differs; otherwise one of the
        largest absolute difference, and whole numbers have to be equal unless it names their output.
    basis: by output, what its tolerance follows from.
    """
    return tuple(
        _judge(
            replace(_finding(component, number, output, tolerance, relative), basis=basis.get(output, "")),
            wanted,
            answers.get(output),
            whole=tolerance.get(output, 0.0) // 1 if isinstance(tolerance, Mapping) else 0.0,
        )
        for number, case in enumerate(cases, start=1)
        for answers in (_run(session, case),)
        for output, wanted in case.outputs.items()
    )


def check(findings: Sequence[Finding]) -> None:
    """Raise ParityFailed with every finding that did not pass, of all components at once."""
    failed = [finding for finding in findings if not finding.passed]
    if failed:
        raise ParityFailed(
            "Baked graphs answer otherwise than the framework:",
            [finding.problem() for finding in failed],
            next_action="; ".join(_advise(failed)),
        )


def _advise(failed: Sequence[Finding]) -> Iterator[str]:
    axes = sorted({axis for finding in failed for axis in finding.axes})
    others = [finding for finding in failed if not finding.axes]
    bounds = sorted({finding.component for finding in others if finding.relative})
    if axes:
        yield (
            f"padding is not exact along {', '.join(axes)}: give the graph a mask and its value in `pad`, or take the axis "
            "out of the buckets"
        )
    if any(not finding.relative for finding in others):
        yield (
            "look for a shape or a branch that the export fixed; if what differs is fit for use, name the largest relative error "
            "that you accept in image.yaml: `precision: {type: fp32, bound: 0.01}`"
        )
    if bounds:
        yield (
            f"what is lost is a matter of the precision of {', '.join(bounds)}: choose another in image.yaml, or a `bound` "
            "that the model's use allows"
        )


def _run(session: Runs, case: Case) -> dict[str, Array | Exception]:
    # The exporter drops an input that nothing depends on.
    names = {each.name for each in session.get_inputs()}
    try:
        answers = session.run(list(case.outputs), {name: each for name, each in case.inputs.items() if name in names})
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        return dict.fromkeys(case.outputs, error)
    return dict(zip(case.outputs, answers, strict=True))


def _finding(component: str, case: int, output: str, tolerance: Tolerance, relative: bool) -> Finding:
    own = tolerance[output] if isinstance(tolerance, Mapping) else tolerance
    return Finding(component, case, output, own, None, relative=relative)


def _judge(finding: Finding, wanted: Array, got: Array | Exception | None, *, whole: float) -> Finding:
    """``whole``: what whole numbers may differ by."""
    if not isinstance(got, np.ndarray):
        return replace(finding, fault=f"cannot be run: {got}")
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        fault = f"is {got.dtype} {list(got.shape)}, the framework's {wanted.dtype} {list(wanted.shape)}"
        return replace(finding, fault=fault)
    if nowhere := find_not_finite(wanted, got):
        return replace(finding, fault=nowhere)
    quality = measure(wanted, got)
    if finding.relative:
        return replace(finding, difference=quality.relative, quality=quality)
    allowed = whole if wanted.dtype.kind in "biu" else 0.0 if wanted.dtype.kind == "O" else finding.tolerance
    return replace(finding, tolerance=allowed, difference=quality.difference, quality=quality)
