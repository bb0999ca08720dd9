"""Engines of a component whose shapes are known, and what builds them again, made where the device is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prebake.bake import graph_files
from prebake.bake.artifacts import Made
from prebake.bake.buckets import Tensors
from prebake.bake.device import facts_of
from prebake.bake.engines import Compiler, make_engine, read_anew, rebuilt_from, tensorrt_compilers
from prebake.bake.profiles import find_profile
from prebake.bake.provider_options import TENSORRT, Graph, Options, is_fixed
from prebake.bake.settings import Settings

Compilers = Callable[[Graph, Options, Mapping[str, str]], Sequence[Compiler]]
"""The ways to compile a graph by what image.yaml says of it, on the machine that these facts tell of; the first makes the timing
cache that is kept."""


@dataclass(frozen=True)
class ForEngines:
    """``provider`` by ``compilers``; ``target`` is its name in image.yaml."""

    provider: str = TENSORRT
    compilers: Compilers = tensorrt_compilers
    target: str = "tensorrt"

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]:
        own, model = settings.components[component], graph_files.load(graph)
        about = Graph(component, own.precision.type, is_fixed(model), find_profile(own, Tensors.read(model)))
        compilers = self.compilers(about, own.options.get(self.target, {}), facts_of(component, self.provider))
        timing = out / "timing"
        timing.mkdir()
        made = [self._engine(component, graph, settings, each, out, timing) for each in compilers]
        if cache := compilers[0].cache:
            made += rebuilt_from(made[0], cache, timing, graph, settings.graph(component))
        profiles = {name: vars(each) for name, each in about.profile.items()}
        return [replace(each, more={**each.more, "profiles": profiles}) for each in made]

    def _engine(
        self, component: str, graph: Path, settings: Settings, compiler: Compiler, out: Path, timing: Path
    ) -> Made:
        folder = out / f"engine-{len(list(out.iterdir()))}"
        folder.mkdir()
        made = make_engine(component, graph, compiler, folder, timing)
        if not compiler.refits:
            return made
        return replace(
            made,
            folders={compiler.refits: settings.folder(component)},
            reads=read_anew(graph, settings.graph(component)),
            scratch=(),  # ONNX Runtime leaves the refitted engine beside the other
        )
