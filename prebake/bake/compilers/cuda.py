"""Graphs that the CUDA provider optimized on a machine with a GPU, so that a start opens them without optimizing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.errors import BakeError
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.external_data import WeightFiles, link_matching
from prebake.bake.graphs.initializers import embed_initializers
from prebake.bake.graphs.provider_options import CUDA, GraphTraits, has_static_shapes, render_options
from prebake.bake.graphs.sessions import OPTIMIZED_WEIGHTS, facts_of, make_options, open_with, save_optimized
from prebake.bake.model_folder.manifest import find_byte_ranges
from prebake.documents.component import SessionSettings
from prebake.documents.settings import StageSettings

MAX_GRAPH_BYTES = 64 << 20
"""The bytes of initializers that a graph may hold itself, if no weight file has them."""
_GRAPH = "model.onnx"


@dataclass(frozen=True)
class CudaCompiler:
    """``required``: facts that must be equal on the machine that opens the graph. Kernels are chosen when the graph runs. The
    fused operators depend on ONNX Runtime and on the compute capability, not on the GPU's name or the versions of its
    libraries."""

    provider: str = CUDA
    required: tuple[str, ...] = ("onnxruntime", "capability")
    candidate: str = "optimized"

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        facts, own = facts_of(component, self.provider), settings.components[component]
        about = GraphTraits(component, own.precision.type, has_static_shapes(onnx_files.load(graph)))
        options = render_options(about, (self.provider,), own.options).get(self.provider, {})
        with TemporaryDirectory(prefix="for-cuda-") as folder:
            self._optimize(component, graph, Path(folder, _GRAPH), options)
            shared = (
                settings.folder(component) if _save_over_weights(component, Path(folder), graph.parent, out) else ""
            )
        return [
            CompiledGraph(
                candidate=self.candidate,
                folder=out,
                graph=_GRAPH,
                provider=self.provider,
                session=SessionSettings(),
                requires={name: facts[name] for name in self.required},
                minimum={"driver": facts["driver"]} if "driver" in facts else {},
                options=options,
                weights=shared,
                byte_ranges=find_byte_ranges(onnx_files.load(out / _GRAPH), shared) if shared else {},
            )
        ]

    def _optimize(self, component: str, graph: Path, target: Path, given: dict[str, str]) -> None:
        options = make_options(SessionSettings("extended"))
        save_optimized(options, target)
        try:
            open_with(graph, options, {self.provider: given})
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BakeError(
                f"{component}: {self.provider} refuses the exported graph: {error}",
                next_action="change the module so that it exports to operators that the provider supports",
            ) from error


def _save_over_weights(component: str, optimized: Path, weights: Path, out: Path) -> bool:
    """Save the graph so that it reads the component's files in ``weights``, and return True. If the initializers that are not in
    those files have more than ``MAX_GRAPH_BYTES``, save it with a copy of all its weights, and return False."""
    model = onnx_files.load(optimized / _GRAPH)
    onnx_files.sort_initializers(model)
    left, report = link_matching(model, WeightFiles(list(weights.glob("*.safetensors"))))
    if report.left_bytes <= MAX_GRAPH_BYTES:
        embed_initializers(left)
        onnx_files.save(model, out / _GRAPH, component)
        return True
    whole = onnx_files.load(optimized / _GRAPH)
    onnx_files.sort_initializers(whole)
    onnx_files.save(whole, out / _GRAPH, component)
    shutil.copyfile(optimized / OPTIMIZED_WEIGHTS, out / OPTIMIZED_WEIGHTS)
    return False
