"""Engines: what a provider compiles of a graph for one kind of machine, as an EPContext model.

An EPContext model is a graph of one node, whose engine lies in a file next to it (embed mode 0: an engine inside of the
graph is parsed with it, and loads slowly). The container opens it as it opens any graph, through its ladder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnxruntime as ort

from prebake.bake.artifacts import Made
from prebake.bake.context_models import check_context
from prebake.bake.errors import BakeError
from prebake.bake.plain import save_plain
from prebake.bake.provider_options import TENSORRT, Graph, dump_options, tensorrt_options
from prebake.bake.sessions import give_providers, open_with
from prebake.bake.settings import Session

_ERRORS_ONLY = 3
_GRAPH = "model.onnx"


@dataclass(frozen=True)
class Compiler:
    """A provider that compiles.

    compiling, serving: its options (``prebake.bake.provider_options``) here and in the container. fields: what the machine
    has to be, exactly, and ``least`` what it has to be at least, as ``entrypoints.machine.find_facts`` tells it.
    dumps: it writes the EPContext model by options of its own, because it does not know ONNX Runtime's compile API.
    """

    provider: str
    rung: str
    compiling: Mapping[str, str]
    serving: Mapping[str, str]
    fields: Mapping[str, str]
    least: Mapping[str, str] = field(default_factory=dict)
    dumps: bool = False


def tensorrt_compiler(graph: Graph, said: Mapping[str, str], facts: Mapping[str, str]) -> Compiler:
    """TensorRT, on the machine that ``facts`` tell of (``entrypoints.machine.find_facts``).

    An engine is bound to the versions that made it and to its GPU; one that is hardware-compatible to no GPU in particular,
    but to Ampere and what came later. The driver may be newer.
    """
    options = tensorrt_options(graph, said)
    least = {"driver": facts["driver"]} if "driver" in facts else {}
    bound = {name: value for name, value in facts.items() if name != "driver"}
    if options.get("trt_engine_hw_compatible") == "1":
        bound = {name: value for name, value in bound.items() if name not in ("device", "capability")}
        least["capability"] = "8.0"
    return Compiler(TENSORRT, "engine", options, options, bound, least, dumps=True)


def make_engine(component: str, graph: Path, compiler: Compiler, out: Path, timing: Path | None = None) -> Made:
    """Compile ``graph``, its weights beside it, into the folder ``out``: an EPContext model and what that names, no more.
    ``timing``: the folder where TensorRT keeps its timing cache from one engine to the next.

    Raises BakeError where the provider refuses the graph, or leaves a part of it to others: such a part would be compiled
    again, or run elsewhere, at every start.
    """
    own = dump_options(out / _GRAPH, component, timing) if compiler.dumps else {}
    _compile(component, replace(compiler, compiling={**compiler.compiling, **own}), graph, out / _GRAPH)
    _drop_rest(out, check_context(component, out / _GRAPH))
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
    )


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
