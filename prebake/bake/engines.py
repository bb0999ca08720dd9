"""Engines: what a provider compiles of a graph for one kind of machine, as an EPContext model.

An EPContext model is a graph of one node, whose engine lies in a file next to it (embed mode 0: an engine inside of the
graph is parsed with it, and loads slowly). The container opens it as it opens any graph, through its ladder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnxruntime as ort

from entrypoints.shapes import ALONE, RANGE
from prebake.bake.artifacts import Made
from prebake.bake.component import Session
from prebake.bake.context_models import check_context, name_source
from prebake.bake.errors import BakeError
from prebake.bake.graph_files import load
from prebake.bake.manifest import reads
from prebake.bake.plain import save_plain
from prebake.bake.provider_options import (
    REFITS,
    STRIPPED,
    TENSORRT,
    TIMED,
    TIMING,
    Graph,
    dump_options,
    tensorrt_options,
)
from prebake.bake.sessions import give_providers, open_with

_ERRORS_ONLY = 3
_GRAPH = "model.onnx"


@dataclass(frozen=True)
class Cache:
    """What a provider measured of kernels while it compiled, and compiles by again: ``folder`` is the option that names its
    folder, ``options`` those that go with it, and ``fields`` what a machine has to be to use it, which is less than for an
    engine."""

    folder: str
    options: Mapping[str, str]
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Compiler:
    """A provider that compiles.

    compiling, serving: its options (``prebake.bake.provider_options``) here and in the container. fields: what the machine
    has to be, exactly, and ``least`` what it has to be at least, as ``entrypoints.machine.find_facts`` tells it.
    dumps: it writes the EPContext model by options of its own, because it does not know ONNX Runtime's compile API.
    refits: where the engine has no weights, the option that names the folder of the component's graph and weights.
    takes: which shapes (``entrypoints.shapes``); of its options those of a profile say so to the provider.
    """

    provider: str
    rung: str
    compiling: Mapping[str, str]
    serving: Mapping[str, str]
    fields: Mapping[str, str]
    least: Mapping[str, str] = field(default_factory=dict)
    dumps: bool = False
    refits: str = ""
    cache: Cache | None = None
    takes: str = ALONE


def tensorrt_compilers(graph: Graph, said: Mapping[str, str], facts: Mapping[str, str]) -> list[Compiler]:
    """The whole engine, and the one without weights, of which each start refits the image's own; the second where image.yaml
    does not say that there should be the one or the other."""
    whole = tensorrt_compiler(graph, said, facts)
    if STRIPPED in said:
        return [whole]
    return [whole, tensorrt_compiler(graph, {**said, STRIPPED: "1"}, facts)]


def tensorrt_compiler(graph: Graph, said: Mapping[str, str], facts: Mapping[str, str]) -> Compiler:
    """TensorRT, on the machine that ``facts`` tell of (``entrypoints.machine.find_facts``).

    An engine is bound to the versions that made it and to its GPU; one that is hardware-compatible to no GPU in particular,
    but to Ampere and what came later. The driver may be newer. A timing cache is bound to TensorRT's version and the GPU.
    """
    options = tensorrt_options(graph, said)
    least = {"driver": facts["driver"]} if "driver" in facts else {}
    bound = {name: value for name, value in facts.items() if name != "driver"}
    if options.get("trt_engine_hw_compatible") == "1":
        bound = {name: value for name, value in bound.items() if name not in ("device", "capability")}
        least["capability"] = "8.0"
    refits = REFITS if options.get(STRIPPED) == "1" else ""
    kin = {name: facts[name] for name in ("capability", "device", "tensorrt") if name in facts}
    cache = Cache(TIMING, {TIMED: "1"}, kin)
    return Compiler(TENSORRT, "engine", options, options, bound, least, True, refits, cache, RANGE)


def make_engine(component: str, graph: Path, compiler: Compiler, out: Path, timing: Path) -> Made:
    """Compile ``graph``, its weights beside it, into the folder ``out``: an EPContext model and what that names, no more.
    ``timing``: the folder of the provider's cache, where it keeps one.

    Raises BakeError where the provider refuses the graph, or leaves a part of it to others: such a part would be compiled
    again, or run elsewhere, at every start.
    """
    own = dump_options(out / _GRAPH, component) if compiler.dumps else {}
    kept = {compiler.cache.folder: str(timing), **compiler.cache.options} if compiler.cache else {}
    _compile(component, replace(compiler, compiling={**compiler.compiling, **kept, **own}), graph, out / _GRAPH)
    _drop_rest(out, check_context(component, out / _GRAPH))
    if compiler.refits:
        name_source(out / _GRAPH, graph.name)
    return Made(
        compiler.rung,
        out,
        _GRAPH,
        compiler.provider,
        Session(),
        dict(compiler.fields),
        dict(compiler.serving),
        dict(compiler.least),
        {"compiling": dict(compiler.compiling)},
        takes=compiler.takes,
    )


def read_anew(graph: Path, place: str) -> dict[str, list[list[int]]]:
    """The component's graph, at ``place`` under /models, and the ranges of its weights: what a provider reads that has the graph
    compiled or refitted at a start."""
    return {place: [[0, graph.stat().st_size]], **reads(load(graph), place.rpartition("/")[0])}


def rebuilt_from(made: Made, cache: Cache, timing: Path, graph: Path, place: str) -> list[Made]:
    """What builds an engine again at a start, from the cache in the folder ``timing`` and the component's ``graph``, at ``place``
    under /models; nothing where the provider left none."""
    if not any(timing.iterdir()):
        return []
    whole = {name: value for name, value in made.options.items() if name != STRIPPED}
    return [
        replace(
            made,
            rung="timing-cache",
            folder=timing,
            graph="",
            opens=place,
            fields=dict(cache.fields),
            least={name: value for name, value in made.least.items() if name == "driver"},
            options={**whole, **cache.options},
            folders={},
            reads=read_anew(graph, place),
            scratch=(cache.folder,),
            stands_in_for=made.rung,
        )
    ]


def _compile(component: str, compiler: Compiler, graph: Path, target: Path) -> None:
    """The plain form lies beside the graph for a moment: the provider reads weights from that folder."""
    plain = save_plain(graph, graph.with_name(f".{graph.stem}.plain.onnx"))
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        providers = {compiler.provider: compiler.compiling}
        if compiler.dumps:
            open_with(plain, options, providers)
        else:
            give_providers(options, providers)
            flags = ort.OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED
            ort.ModelCompiler(options, plain, embed_compiled_data_into_model=False, flags=flags).compile_to_file(target)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: {compiler.provider} does not compile the graph: {error}",
            next_action="Compile on the machine that the engine is for, with shapes that the provider takes.",
        ) from error
    finally:
        plain.unlink()


def _drop_rest(folder: Path, names: Collection[str]) -> None:
    """What the provider keeps for making engines again, which a start never does."""
    for path in folder.iterdir():
        if path.name not in (_GRAPH, *names):
            path.unlink()
