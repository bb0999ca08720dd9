"""Checks that a published graph gives the same outputs each time. Outputs of random operators cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prebake.bake.errors import GraphRefused
from prebake.bake.importers.signature import TensorSignature
from prebake.bake.parity.compare import Case, compare
from prebake.bake.parity.tolerances import default_tolerances
from prebake.bake.published.graph_file import PublishedGraph
from prebake.bake.published.input_search import describe_shapes, find_output_fault
from prebake.bake.weights.numpy_arrays import Array

RANDOM_GRAPH_RUNS = 2
"""Repeated runs of a graph with random operators; any other graph is run once more."""


def check_determinism(
    published: PublishedGraph, cases: Sequence[Mapping[str, Array]], outputs: Sequence[Mapping[str, Array]]
) -> Iterator[str]:
    """Run the cases again and compare with ``outputs``. Yields notes on what the comparison does not prove.

    Raises GraphRefused if an output differs.
    """
    tolerances = default_tolerances(*outputs)
    expected = [Case(case, output) for case, output in zip(cases, outputs, strict=True)]
    session = _AllInputsSession(published)
    for _ in range(RANDOM_GRAPH_RUNS if published.random_nodes else 1):
        results = compare(published.component, session, expected, tolerances)
        if failed := [result for result in results if not result.passed]:
            raise _refused(published, sorted({result.output for result in failed}))
    if published.random_nodes:
        yield (
            f"the graph has random operators ({', '.join(published.random_nodes)}), but its outputs were the same each time"
        )
    for case, output in zip(cases, outputs, strict=True):
        if fault := find_output_fault(output):
            yield f"for {describe_shapes(case)} {fault}, which proves little: give real inputs in sample.json"


class _AllInputsSession:
    """The session with all served inputs: ``get_inputs`` of ONNX Runtime omits those that have a default value in the file."""

    def __init__(self, published: PublishedGraph) -> None:
        self._published = published

    def get_inputs(self) -> Sequence[TensorSignature]:
        return self._published.signature.inputs

    def run(self, outputs: list[str], inputs: Mapping[str, Array], /) -> Sequence[Array]:
        arrays: Sequence[Array] = self._published.session.run(outputs, dict(inputs))
        return arrays


def _refused(published: PublishedGraph, outputs: Sequence[str]) -> GraphRefused:
    nodes = f" Its random operators: {', '.join(published.random_nodes)}." if published.random_nodes else ""
    return GraphRefused(
        f"{published.component}: the outputs {', '.join(outputs)} of the published graph differ between two runs on the same "
        f"inputs, so nothing can be compared with them.{nodes}",
        next_action="export the model with its noise as an input, or give inputs for which it uses no noise (sample.json)",
    )
