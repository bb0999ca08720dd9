"""Does a published graph answer the same each time? What draws numbers cannot be compared with anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prebake.bake.allowances import tolerance_of
from prebake.bake.arrays import Array
from prebake.bake.errors import GraphRefused
from prebake.bake.parity import Case, compare
from prebake.bake.published_file import Published
from prebake.bake.sampling import describe_case, find_fault
from prebake.bake.signature import TensorSignature

RUNS = 2
"""Further runs of a graph that draws numbers; any other is run once more."""


def check_repeats(
    published: Published, cases: Sequence[Mapping[str, Array]], answers: Sequence[Mapping[str, Array]]
) -> Iterator[str]:
    """Ask again, and tell what the comparison with ``answers`` does not prove. Raises GraphRefused if an answer differs."""
    tolerance = tolerance_of(*answers)
    asked = [Case(case, answer) for case, answer in zip(cases, answers, strict=True)]
    for _ in range(RUNS if published.random else 1):
        findings = compare(published.component, _Whole(published), asked, tolerance)
        if failed := [each for each in findings if not each.passed]:
            raise _refused(published, sorted({each.output for each in failed}))
    if published.random:
        yield f"it draws numbers ({', '.join(published.random)}), and answers the same to these inputs all the same"
    for case, answer in zip(cases, answers, strict=True):
        if fault := find_fault(answer):
            yield f"for {describe_case(case)} {fault}, which proves little: give real inputs in sample.json"


class _Whole:
    """The graph with all inputs that are served: a session lists none that the file has a value for."""

    def __init__(self, published: Published) -> None:
        self._published = published

    def get_inputs(self) -> Sequence[TensorSignature]:
        return self._published.signature.inputs

    def run(self, outputs: list[str], inputs: Mapping[str, Array], /) -> Sequence[Array]:
        answers: Sequence[Array] = self._published.session.run(outputs, dict(inputs))
        return answers


def _refused(published: Published, outputs: Sequence[str]) -> GraphRefused:
    drawing = f" It draws numbers: {', '.join(published.random)}." if published.random else ""
    return GraphRefused(
        f"{published.component}: the published graph answers otherwise each time it is asked the same, at "
        f"{', '.join(outputs)}, so that no answer can be proved.{drawing}",
        next_action="Export the model with the noise as an input, or with inputs by which it draws none (sample.json).",
    )
