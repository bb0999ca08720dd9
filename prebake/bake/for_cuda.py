"""Graphs as the CUDA provider optimises them, done ahead on a machine that has a GPU: a start then opens what is left."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prebake.bake import graph_files
from prebake.bake.artifacts import Made
from prebake.bake.component import Session
from prebake.bake.device import facts_of
from prebake.bake.errors import BakeError
from prebake.bake.manifest import reads
from prebake.bake.provider_options import CUDA, Graph, is_fixed, options_for
from prebake.bake.repoint import SMALLEST, WeightFiles, hold_large, point_into
from prebake.bake.sessions import open_with, session_options
from prebake.bake.settings import Settings

HELD = 64 << 20
"""Bytes that a graph may hold itself of what it reads and no weight file has."""
_GRAPH, _DATA = "model.onnx", "weights.data"


@dataclass(frozen=True)
class ForCuda:
    """``bound``: the fields that a machine has to share. Kernels are chosen as the graph runs: what was fused depends on ONNX
    Runtime and on the compute capability, not on the GPU's name or its libraries' versions."""

    provider: str = CUDA
    bound: tuple[str, ...] = ("onnxruntime", "capability")
    rung: str = "optimised"

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]:
        facts, own = facts_of(component, self.provider), settings.components[component]
        about = Graph(component, own.precision.type, is_fixed(graph_files.load(graph)))
        options = options_for(about, (self.provider,), own.options).get(self.provider, {})
        with TemporaryDirectory(prefix="for-cuda-") as folder:
            self._optimise(component, graph, Path(folder, _GRAPH), options)
            shared = settings.folder(component) if _keep(component, Path(folder), graph.parent, out) else ""
        return [
            Made(
                self.rung,
                out,
                _GRAPH,
                self.provider,
                Session(),
                {name: facts[name] for name in self.bound},
                options,
                {"driver": facts["driver"]} if "driver" in facts else {},
                weights=shared,
                reads=reads(graph_files.load(out / _GRAPH), shared) if shared else {},
            )
        ]

    def _optimise(self, component: str, graph: Path, target: Path, given: dict[str, str]) -> None:
        options = session_options(Session("extended"))
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _DATA)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST)
        )
        try:
            open_with(graph, options, {self.provider: given})
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BakeError(
                f"{component}: {self.provider} refuses the exported graph: {error}",
                next_action="Change the module so that it exports to operators the provider has.",
            ) from error


def _keep(component: str, optimised: Path, weights: Path, out: Path) -> bool:
    """Write the graph over the weight files of ``weights``, and say so; with a copy of all that it reads where it reads too much
    that is not in them."""
    model = graph_files.load(optimised / _GRAPH)
    graph_files.sort_initialisers(model)
    left, report = point_into(model, WeightFiles(list(weights.glob("*.safetensors"))))
    if report.left_bytes <= HELD:
        hold_large(left)
        graph_files.save(model, out / _GRAPH, component)
        return True
    whole = graph_files.load(optimised / _GRAPH)
    graph_files.sort_initialisers(whole)
    graph_files.save(whole, out / _GRAPH, component)
    shutil.copyfile(optimised / _DATA, out / _DATA)
    return False
