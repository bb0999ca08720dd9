"""A process of a trial imports ONNX Runtime, but neither torch nor packages that write graphs: each candidate starts three."""

from __future__ import annotations

import sys

from prebake.bake.compilers.compiled_artifact import open_artifact
from prebake.bake.graphs.sessions import open_graph, open_session
from prebake.bake.trials.trial import run_in_fresh_process, time_graph

LIBRARIES = {"torch", "onnx", "onnx_ir", "sympy", "transformers"}


def find_libraries(*functions: object) -> set[str]:
    """Runs in the process of a trial, which imported the modules of ``functions`` as it unpickled them."""
    return LIBRARIES.intersection(sys.modules)


def test_a_trial_imports_no_library_but_onnx_runtime() -> None:
    assert run_in_fresh_process(find_libraries, time_graph, open_session, open_graph, open_artifact) == set()
