"""The port that compilers of graphs implement, and the compilers of each target."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.errors import BakeError
from prebake.documents.settings import StageSettings

COMPILERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("prebake.bake.compilers.cpu:CpuCompiler",),
    "cuda": ("prebake.bake.compilers.cuda:CudaCompiler",),
    "tensorrt": ("prebake.bake.compilers.tensorrt:EngineCompiler", "prebake.bake.compilers.cuda:CudaCompiler"),
}
"""By target, the module and class of each compiler, best first. A module is imported when its target is compiled."""


class Compiler(Protocol):
    """Compiles a component's exported graph for this kind of machine."""

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        """Compile ``graph``, beside which its weights lie, into ``out`` or into folders below it. Raises BakeError if the
        provider refuses the graph, or if this machine lacks its device."""
        ...


def find_compilers(settings: StageSettings) -> list[Compiler]:
    """The compilers of a target's graphs. Raises BakeError if there is none."""
    if settings.target not in COMPILERS:
        raise BakeError(
            f"{settings.image}: no compiler is registered for graphs on {settings.target}.",
            next_action="build the image without `prebake compile`",
        )
    return [_load_compiler(*place.split(":")) for place in COMPILERS[settings.target]]


def _load_compiler(module: str, name: str) -> Compiler:
    compiler: Compiler = getattr(importlib.import_module(module), name)()
    return compiler
