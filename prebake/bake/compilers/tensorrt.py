"""TensorRT: the engines that are compiled from a graph, and the machines that can use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoints.manifest.shape_buckets import ACCEPTS_RANGE
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.compilers.engine import (
    EngineVariant,
    TimingCache,
    compile_engine,
    component_ranges,
    timing_cache_artifact,
)
from prebake.bake.compilers.shape_profiles import find_profile
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.provider_options import (
    TENSORRT,
    TRT_ONNX_MODEL_FOLDER,
    TRT_TIMING_CACHE_ENABLE,
    TRT_TIMING_CACHE_PATH,
    TRT_WEIGHT_STRIPPED,
    GraphTraits,
    Options,
    has_static_shapes,
    tensorrt_options,
)
from prebake.bake.graphs.sessions import facts_of
from prebake.bake.parity.graph_signature import GraphSignature
from prebake.documents.settings import StageSettings

ListVariants = Callable[[GraphTraits, Options, Mapping[str, str]], Sequence[EngineVariant]]
"""The variants to compile of a graph, by its options in image.yaml and this machine's facts. The timing cache of the first is
kept."""


def tensorrt_variants(graph: GraphTraits, options: Mapping[str, str], facts: Mapping[str, str]) -> list[EngineVariant]:
    """The whole engine, and the engine without weights, which each start refits with the image's weights. If image.yaml chooses
    between the two, only the chosen one."""
    whole = tensorrt_variant(graph, options, facts)
    if TRT_WEIGHT_STRIPPED in options:
        return [whole]
    return [whole, tensorrt_variant(graph, {**options, TRT_WEIGHT_STRIPPED: "1"}, facts)]


def tensorrt_variant(graph: GraphTraits, given: Mapping[str, str], facts: Mapping[str, str]) -> EngineVariant:
    """TensorRT with the options ``given`` in image.yaml, on a machine with these ``facts``
    (``entrypoints.hardware.facts.find_facts``).

    An engine requires the versions that compiled it and the GPU's name. A hardware-compatible engine requires no GPU by name,
    but Ampere or later. The driver may be newer. A timing cache requires TensorRT's version and the GPU.
    """
    options = tensorrt_options(graph, given)
    minimum = {"driver": facts["driver"]} if "driver" in facts else {}
    requires = {name: value for name, value in facts.items() if name != "driver"}
    if options.get("trt_engine_hw_compatible") == "1":
        requires = {name: value for name, value in requires.items() if name not in ("device", "capability")}
        minimum["capability"] = "8.0"
    shared = {name: facts[name] for name in ("capability", "device", "tensorrt") if name in facts}
    return EngineVariant(
        provider=TENSORRT,
        candidate="engine",
        compiling=options,
        serving=options,
        requires=requires,
        minimum=minimum,
        dumps=True,
        refits=TRT_ONNX_MODEL_FOLDER if options.get(TRT_WEIGHT_STRIPPED) == "1" else "",
        cache=TimingCache(folder=TRT_TIMING_CACHE_PATH, options={TRT_TIMING_CACHE_ENABLE: "1"}, requires=shared),
        accepts=ACCEPTS_RANGE,
    )


@dataclass(frozen=True)
class EngineCompiler:
    """Compiles the engines of ``variants`` by ``provider``; ``target`` is the provider's name in image.yaml."""

    provider: str = TENSORRT
    variants: ListVariants = tensorrt_variants
    target: str = "tensorrt"

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        about, variants = self._find_variants(component, graph, settings)
        timing = out / "timing"
        timing.mkdir()
        artifacts = [self._compile(component, graph, settings, variant, out, timing) for variant in variants]
        if cache := variants[0].cache:
            again = timing_cache_artifact(artifacts[0], cache, timing, graph, settings.graph(component))
            artifacts += [again] if again else []
        profiles = {name: vars(profile) for name, profile in about.profile.items()}
        return [replace(artifact, key_inputs={**artifact.key_inputs, "profiles": profiles}) for artifact in artifacts]

    def _find_variants(
        self, component: str, graph: Path, settings: StageSettings
    ) -> tuple[GraphTraits, Sequence[EngineVariant]]:
        own, model = settings.components[component], onnx_files.load(graph)
        about = GraphTraits(
            component, own.precision.type, has_static_shapes(model), find_profile(own, GraphSignature.read(model))
        )
        return about, self.variants(about, own.options.get(self.target, {}), facts_of(component, self.provider))

    def _compile(
        self, component: str, graph: Path, settings: StageSettings, variant: EngineVariant, out: Path, timing: Path
    ) -> CompiledGraph:
        folder = out / f"engine-{len(list(out.iterdir()))}"
        folder.mkdir()
        engine = compile_engine(component, graph, variant, folder, timing)
        if not variant.refits:
            return engine
        return replace(
            engine,
            folders={variant.refits: settings.folder(component)},
            byte_ranges=component_ranges(graph, settings.graph(component)),
            scratch=(),  # ONNX Runtime writes the refitted engine beside the other
        )
