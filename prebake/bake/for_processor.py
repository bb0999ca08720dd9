"""Graphs for this machine's processor: everything that ONNX Runtime does to a graph as it opens it, done ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime as ort

from entrypoints.machine import find_facts
from prebake.bake import graph_files
from prebake.bake.artifacts import Made
from prebake.bake.component import Session
from prebake.bake.errors import BakeError
from prebake.bake.repoint import SMALLEST
from prebake.bake.sessions import session_options
from prebake.bake.settings import Settings

PROVIDER = "CPUExecutionProvider"
_GRAPH, _DATA = "model.onnx", "weights.data"


@dataclass(frozen=True)
class ForProcessor:
    """Weights are laid out as the kernels of this instruction set want them, so that no published file holds them as they
    are: the artifact brings all of them."""

    rung: str = "native"

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]:
        with TemporaryDirectory(prefix="for-processor-") as folder:
            _optimise(component, graph, Path(folder, _GRAPH))
            model = graph_files.load(Path(folder, _GRAPH))
            graph_files.sort_initialisers(model)
            graph_files.save(model, out / _GRAPH, component)
            data = Path(folder, _DATA)
            if data.exists():
                (out / _DATA).write_bytes(data.read_bytes())
        session = Session("disable", settings.components[component].session.prepack)
        return [Made(self.rung, out, _GRAPH, PROVIDER, session, find_facts(PROVIDER))]


def _optimise(component: str, graph: Path, target: Path) -> None:
    options = session_options(Session(saturates=True))  # its 8-bit products, if any, are to be exact on this processor
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _DATA)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST))
    try:
        ort.InferenceSession(str(graph), options, providers=[PROVIDER])
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: ONNX Runtime refuses the exported graph: {error}",
            next_action="Change the module so that it exports to operators the provider has.",
        ) from error
