"""Engines: what a provider compiles of a graph for one kind of machine, as an EPContext model beside the graph.

An EPContext model is a graph of one node, whose engine lies in a file next to it (embed mode 0: an engine inside of the
graph is parsed with it, and loads slowly). The container opens it as it opens any graph, through its ladder.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import onnxruntime as ort

from prebake.bake.context_models import check_context
from prebake.bake.documents import digest_file, digest_json, digest_sources
from prebake.bake.errors import BakeError
from prebake.bake.plain import save_plain
from prebake.bake.provider_options import TENSORRT, Graph, dump_options, tensorrt_options

FOLDER = "compiled"
"""Under /models."""
_ERRORS_ONLY = 3


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


@dataclass(frozen=True)
class Source:
    """The graph to compile, as a file under ``models``, with its precision and the sha256 of every file that it reads."""

    component: str
    graph: str
    precision: str
    weights: Mapping[str, str]


def make_engine(source: Source, compiler: Compiler, models: Path, timing: Path | None = None) -> dict[str, object]:
    """Compile, into a folder of its own under ``models``; the artifact's entry in the manifest, whose ``graph`` and ``reads``
    are all the files of that folder. ``timing``: where TensorRT keeps its timing cache from one engine to the next.

    Raises BakeError where the provider refuses the graph, or leaves a part of it to others: such a part would be compiled
    again, or run elsewhere, at every start.
    """
    fields = key_fields(source, compiler, models)
    key = digest_json(fields)
    folder = f"{FOLDER}/{source.component}/{compiler.rung}-{key[:12]}"
    target = models / folder / "model.onnx"
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    own = dump_options(target, f"{source.component}-{key[:12]}", timing) if compiler.dumps else {}
    _compile(source, replace(compiler, compiling={**compiler.compiling, **own}), models / source.graph, target)
    names = check_context(source.component, target)
    _drop_rest(target, names)
    engines = [f"{folder}/{name}" for name in names]
    return {
        "rung": compiler.rung,
        "graph": f"{folder}/model.onnx",
        "provider": compiler.provider,
        "options": dict(compiler.serving),
        "session": {"optimize": "disable", "prepack": False},
        "fields": dict(compiler.fields),
        "least": dict(compiler.least),
        "reads": {name: [[0, (models / name).stat().st_size]] for name in engines},
        "key": key,
        "key_fields": fields,
    }


def key_fields(source: Source, compiler: Compiler, models: Path) -> dict[str, object]:
    """Everything that an engine follows from. Its sha256 is the compile key."""
    return {
        "graph": digest_file(models / source.graph),
        "weights": dict(source.weights),
        "precision": source.precision,
        "compiler": asdict(compiler),
        "onnxruntime": ort.__version__,
        "bake": digest_sources(Path(__file__).parent),
    }


def _compile(source: Source, compiler: Compiler, graph: Path, target: Path) -> None:
    """The plain form lies beside the graph for a moment: the provider reads weights from that folder."""
    plain = save_plain(graph, graph.with_name(f".{graph.stem}.plain.onnx"))
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        _add_provider(compiler, options)
        if compiler.dumps:
            ort.InferenceSession(plain, options, enable_fallback=0)
        else:
            flags = ort.OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED
            ort.ModelCompiler(options, plain, embed_compiled_data_into_model=False, flags=flags).compile_to_file(target)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{source.component}: {compiler.provider} does not compile the graph: {error}",
            next_action="Compile on the machine that the engine is for, with shapes that the provider takes.",
        ) from error
    finally:
        plain.unlink()


def _add_provider(compiler: Compiler, options: ort.SessionOptions) -> None:
    """By its devices, where it is a plugin."""
    devices = [each for each in ort.get_ep_devices() if each.ep_name == compiler.provider]
    if devices:
        options.add_provider_for_devices(devices[:1], dict(compiler.compiling))
    else:
        options.add_provider(compiler.provider, dict(compiler.compiling))


def _drop_rest(graph: Path, names: Collection[str]) -> None:
    """What the provider keeps for making engines again, which a start never does."""
    for path in graph.parent.iterdir():
        if path.name not in (graph.name, *names):
            path.unlink()
