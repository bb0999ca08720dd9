"""ONNX Runtime's graph optimisation, done ahead.

EXTENDED is the highest level whose graphs run on any processor: beyond it weights are laid out for the instruction set
of the machine that optimises. The session that the container opens then has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir
import onnxruntime as ort

from prebake.bake import graph_files
from prebake.bake.component import Session
from prebake.bake.errors import BakeError
from prebake.bake.repoint import SMALLEST
from prebake.bake.sessions import session_options

_SPECIFIC_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")


@contextmanager
def optimised(graph: Path, component: str, providers: Sequence[str]) -> Iterator[ir.Model]:
    """The optimised form of ``graph`` while ONNX Runtime's own copy of the weights exists; then that goes.

    Raises BakeError where the graph cannot be opened, or came out fit for one kind of processor only.
    """
    with TemporaryDirectory(prefix="optimise-") as folder:
        path = Path(folder, "model.onnx")
        try:
            ort.InferenceSession(str(graph), _options(path), providers=list(providers))
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BakeError(
                f"{component}: ONNX Runtime refuses the exported graph: {error}",
                next_action="Change the module so that it exports to operators the provider has.",
            ) from error
        model = graph_files.load(path)
        check_portable(model, component)
        graph_files.sort_initialisers(model)
        yield model


def _options(path: Path) -> ort.SessionOptions:
    options = session_options(Session(optimize="extended", prepack=False))
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.data")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST))
    return options


def check_portable(model: ir.Model, component: str) -> None:
    """Raise BakeError, naming the operators, where the graph holds any that only some processors have."""
    nodes = (node for graph in model.graphs() for node in graph)
    specific = sorted({node.op_type for node in nodes if node.domain in _SPECIFIC_DOMAINS})
    if specific:
        raise BakeError(
            f"{component}: the optimised graph is bound to this processor by {', '.join(specific)}.",
            next_action="Report this: the optimisation level EXTENDED should not produce them.",
        )
