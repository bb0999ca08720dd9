"""Results of comparing a graph's outputs with the framework's, and the error that reports failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prebake.bake.errors import ParityFailed
from prebake.bake.parity.metrics import ErrorMetrics
from prebake.errors import Problem


@dataclass(frozen=True)
class ParityResult:
    """The comparison of one output of one case."""

    component: str
    case: int
    output: str
    tolerance: float
    """The largest ``difference`` that passes."""
    difference: float | None
    """The largest absolute difference, or the relative error if ``relative``. None if there is a ``fault``."""
    fault: str = ""
    """Why the outputs could not be compared."""
    relative: bool = False
    metrics: ErrorMetrics | None = None
    basis: str = ""
    """What the tolerance follows from."""
    bucket: str = ""
    """The bucket that the inputs were padded to."""
    axes: tuple[str, ...] = ()
    """Axes along which padding alone changes the output."""

    @property
    def passed(self) -> bool:
        return self.difference is not None and self.difference <= self.tolerance  # false for NaN

    def problem(self) -> Problem:
        where = f"{self.component}, case {self.case}{f' in the bucket {self.bucket}' if self.bucket else ''}"
        hint = f"padding {' and '.join(self.axes)} changes it" if self.axes else ""
        return Problem(f"{where}, output '{self.output}'", self.fault or self._describe_difference(), hint)

    def _describe_difference(self) -> str:
        if self.relative:
            return f"has a relative error of {self.difference:.3g}, above the bound of {self.tolerance:.3g}"
        basis = f" ({self.basis})" if self.basis else ""
        return f"differs by up to {self.difference:.3g}, above the tolerance of {self.tolerance:.3g}{basis}"


def check_results(results: Sequence[ParityResult]) -> None:
    """Raise ParityFailed that lists all failed results of all components, if there are any."""
    failed = [result for result in results if not result.passed]
    if failed:
        raise ParityFailed(
            "Outputs of baked graphs differ from the framework's:",
            [result.problem() for result in failed],
            next_action="; ".join(_advise(failed)),
        )


def _advise(failed: Sequence[ParityResult]) -> Iterator[str]:
    axes = sorted({axis for result in failed for axis in result.axes})
    others = [result for result in failed if not result.axes]
    reduced = sorted({result.component for result in others if result.relative})
    if axes:
        yield (
            f"padding along {', '.join(axes)} changes outputs: give the graph a mask input and list it under `pad`, or remove "
            "the axis from the buckets"
        )
    if any(not result.relative for result in others):
        yield (
            "look for a shape or a branch that the export made constant; if the difference is acceptable, set the largest "
            "relative error that you accept in image.yaml: `precision: {type: fp32, max_relative_error: 0.01}`"
        )
    if reduced:
        yield (
            f"the error comes from the precision of {', '.join(reduced)}: choose another precision in image.yaml, or set a "
            "larger `max_relative_error` if the model's use allows it"
        )
