"""Graphs for this machine's processor: ONNX Runtime's optimization of a graph, saved instead of repeated at each start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime as ort

from entrypoints.hardware.facts import find_facts
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.errors import BakeError
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.sessions import OPTIMIZED_WEIGHTS, make_options, save_optimized
from prebake.documents.component import SessionSettings
from prebake.documents.settings import StageSettings

PROVIDER = "CPUExecutionProvider"
_GRAPH, _DATA = "model.onnx", OPTIMIZED_WEIGHTS


@dataclass(frozen=True)
class CpuCompiler:
    """The kernels of this instruction set read weights in a layout of their own, which no published file has: the artifact
    has a copy of all weights."""

    candidate: str = "native"

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        with TemporaryDirectory(prefix="for-processor-") as folder:
            _optimize(component, graph, Path(folder, _GRAPH))
            model = onnx_files.load(Path(folder, _GRAPH))
            onnx_files.sort_initializers(model)
            onnx_files.save(model, out / _GRAPH, component)
            data = Path(folder, _DATA)
            if data.exists():
                (out / _DATA).write_bytes(data.read_bytes())
        session = SessionSettings("disable", settings.components[component].session.prepack)
        requires = find_facts(PROVIDER)
        return [
            CompiledGraph(
                candidate=self.candidate,
                folder=out,
                graph=_GRAPH,
                provider=PROVIDER,
                session=session,
                requires=requires,
            )
        ]


def _optimize(component: str, graph: Path, target: Path) -> None:
    exact = SessionSettings(saturates=True)  # 8-bit products, if any, are to be exact on this processor
    options = make_options(exact)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    save_optimized(options, target)
    try:
        ort.InferenceSession(str(graph), options, providers=[PROVIDER])
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: ONNX Runtime refuses the exported graph: {error}",
            next_action="change the module so that it exports to operators that the provider supports",
        ) from error
