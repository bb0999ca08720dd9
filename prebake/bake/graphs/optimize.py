"""Runs ONNX Runtime's graph optimization during the bake, so that the container need not.

EXTENDED is the highest level whose graphs run on any processor. Higher levels arrange weights for the instruction set of the
machine that optimizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from prebake.bake.errors import BakeError
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.sessions import make_options, open_with, save_optimized
from prebake.documents.component import SessionSettings

_PROCESSOR_SPECIFIC_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")


@contextmanager
def optimize_graph(graph: Path, component: str, providers: Sequence[str]) -> Iterator[ir.Model]:
    """Yields the optimized graph. Its weights lie in a temporary file that is deleted at the end of the ``with`` block.

    Raises BakeError if ONNX Runtime cannot open the graph, or if the result runs on this kind of processor only.
    """
    with TemporaryDirectory(prefix="optimize-") as folder:
        path = Path(folder, "model.onnx")
        try:
            options = make_options(SessionSettings(optimize="extended", prepack=False))
            save_optimized(options, path)
            open_with(graph, options, {name: {} for name in providers})
        except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
            raise BakeError(
                f"{component}: ONNX Runtime cannot open the exported graph: {error}",
                next_action="change the module so that it exports to operators that the execution provider supports",
            ) from error
        model = onnx_files.load(path)
        check_portable(model, component)
        onnx_files.sort_initializers(model)
        yield model


def check_portable(model: ir.Model, component: str) -> None:
    """Raise BakeError that lists the graph's operators that only some processors support, if there are any."""
    nodes = (node for graph in model.graphs() for node in graph)
    specific = sorted({node.op_type for node in nodes if node.domain in _PROCESSOR_SPECIFIC_DOMAINS})
    if specific:
        raise BakeError(
            f"{component}: the optimized graph has operators that only this kind of processor supports: {', '.join(specific)}.",
            next_action="report this as a bug: the optimization level EXTENDED should not produce them",
        )
