"""Compiled engines: the EPContext model that a provider compiles from a graph for one kind of GPU.

An EPContext model is a graph of one node, whose engine lies in a file next to it (embed mode 0: an engine inside of the graph is
parsed with it, and loads slowly). The container opens it as it opens any graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnxruntime as ort

from entrypoints.manifest.shape_buckets import ACCEPTS_BUCKETS
from entrypoints.runtime.session_options import select_providers
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.compilers.epcontext import check_context, name_source
from prebake.bake.errors import BakeError
from prebake.bake.graphs.onnx_files import load
from prebake.bake.graphs.provider_options import TRT_WEIGHT_STRIPPED, epcontext_options
from prebake.bake.graphs.sessions import open_with
from prebake.bake.graphs.standard_ops import decompose_fused_matmul
from prebake.bake.model_folder.manifest import find_byte_ranges
from prebake.documents.component import SessionSettings

_GRAPH = "model.onnx"
_LOG_ERRORS_ONLY = 3


@dataclass(frozen=True, kw_only=True)
class TimingCache:
    """The provider's file of measured kernels, by which it builds an engine again in less time.

    folder: the option for the cache's folder; options: further options that it needs; requires: facts that must be equal on the
    machine that uses it, which are fewer than for an engine.
    """

    folder: str
    options: Mapping[str, str]
    requires: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class EngineVariant:
    """One way in which a provider compiles a graph.

    compiling, serving: the provider's options here and in the container (``prebake.bake.graphs.provider_options``).
    requires, minimum: as of the artifact (``prebake.bake.compilers.compiled_artifact``).
    dumps: the provider writes the EPContext model by options of its own, because it does not support ONNX Runtime's compile API.
    refits: if the engine has no weights, the option that names the folder of the component's graph and weights.
    accepts: the input shapes (``entrypoints.manifest.shape_buckets``); the options of a profile tell the provider.
    """

    provider: str
    candidate: str
    compiling: Mapping[str, str]
    serving: Mapping[str, str]
    requires: Mapping[str, str]
    minimum: Mapping[str, str] = field(default_factory=dict)
    dumps: bool = False
    refits: str = ""
    cache: TimingCache | None = None
    accepts: str = ACCEPTS_BUCKETS


def compile_engine(component: str, graph: Path, variant: EngineVariant, out: Path, timing: Path) -> CompiledGraph:
    """Compile ``graph``, its weights beside it, into the folder ``out``: an EPContext model and the files that it names, no more.
    ``timing`` is the folder of the provider's timing cache, if it keeps one.

    Raises BakeError if the provider refuses the graph, or leaves a part of it to other providers: such a part would be compiled
    again, or run elsewhere, at every start.
    """
    dumping = epcontext_options(out / _GRAPH, component) if variant.dumps else {}
    caching = {variant.cache.folder: str(timing), **variant.cache.options} if variant.cache else {}
    options = {**variant.compiling, **caching, **dumping}
    _compile(component, replace(variant, compiling=options), graph, out / _GRAPH)
    _remove_others(out, check_context(component, out / _GRAPH))
    if variant.refits:
        name_source(out / _GRAPH, graph.name)
    return CompiledGraph(
        candidate=variant.candidate,
        folder=out,
        graph=_GRAPH,
        provider=variant.provider,
        session=SessionSettings(),
        requires=dict(variant.requires),
        minimum=dict(variant.minimum),
        options=dict(variant.serving),
        key_inputs={"compiling": dict(variant.compiling)},
        accepts=variant.accepts,
    )


def component_ranges(graph: Path, place: str) -> dict[str, list[list[int]]]:
    """The byte ranges of a component's graph, at ``place`` under /models, and of its weights: the provider reads them if it
    compiles or refits the graph at a start."""
    return {place: [[0, graph.stat().st_size]], **find_byte_ranges(load(graph), place.rpartition("/")[0])}


def timing_cache_artifact(
    engine: CompiledGraph, cache: TimingCache, timing: Path, graph: Path, place: str
) -> CompiledGraph | None:
    """The artifact by which a start builds an engine again: the timing cache in the folder ``timing``, and the component's
    ``graph``, at ``place`` under /models. None if the provider left no cache."""
    if not any(timing.iterdir()):
        return None
    options = {name: value for name, value in engine.options.items() if name != TRT_WEIGHT_STRIPPED}
    return replace(
        engine,
        candidate="timing-cache",
        folder=timing,
        graph="",
        component_graph=place,
        requires=dict(cache.requires),
        minimum={name: value for name, value in engine.minimum.items() if name == "driver"},
        options={**options, **cache.options},
        folders={},
        byte_ranges=component_ranges(graph, place),
        scratch=(cache.folder,),
        fallback_for=engine.candidate,
    )


def _compile(component: str, variant: EngineVariant, graph: Path, target: Path) -> None:
    """The graph in ONNX's own operators lies beside ``graph`` for a moment: the provider reads weights from that folder."""
    plain = decompose_fused_matmul(graph, graph.with_name(f".{graph.stem}.plain.onnx"))
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    try:
        providers = {variant.provider: variant.compiling}
        if variant.dumps:
            open_with(plain, options, providers)
        else:
            select_providers(options, providers)
            flags = ort.OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED
            ort.ModelCompiler(options, plain, embed_compiled_data_into_model=False, flags=flags).compile_to_file(target)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: {variant.provider} cannot compile the graph: {error}",
            next_action="compile on the machine that the engine is for, with shapes that the provider supports",
        ) from error
    finally:
        plain.unlink()


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove the files that the provider keeps for building engines again, which no start reads."""
    for path in folder.iterdir():
        if path.name not in (_GRAPH, *names):
            path.unlink()
