"""Engines of every component whose shapes are known, made where the device is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prebake.bake import graph_files
from prebake.bake.artifacts import Made
from prebake.bake.buckets import Tensors
from prebake.bake.device import facts_of
from prebake.bake.engines import Compiler, make_engine, tensorrt_compiler
from prebake.bake.profiles import find_profile
from prebake.bake.provider_options import TENSORRT, Graph, Options, is_fixed
from prebake.bake.settings import Settings

Compile = Callable[[Graph, Options, Mapping[str, str]], Compiler]
"""How a provider compiles a graph: by what image.yaml says of it, on the machine that these facts tell of."""


@dataclass(frozen=True)
class ForEngines:
    """``provider`` by ``compiler``; ``target`` is its name in image.yaml."""

    provider: str = TENSORRT
    compiler: Compile = tensorrt_compiler
    target: str = "tensorrt"

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]:
        own, model = settings.components[component], graph_files.load(graph)
        about = Graph(component, own.precision.type, is_fixed(model), find_profile(own, Tensors.read(model)))
        compiler = self.compiler(about, own.options.get(self.target, {}), facts_of(component, self.provider))
        made = make_engine(component, graph, compiler, out)
        profiles = {name: vars(each) for name, each in about.profile.items()}
        return [replace(made, more={**made.more, "profiles": profiles})]
