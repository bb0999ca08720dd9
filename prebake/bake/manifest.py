"""``/models/manifest.json``: what the container is told about its own content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from prebake.bake.component import Component, Session
from prebake.bake.digests import digests_of_file
from prebake.bake.provider_options import Graph, is_fixed, options_for
from prebake.bake.settings import Settings

SCHEMA = 1
MANIFEST = "manifest.json"
# Reading on across a gap this small costs less than a second request.
_GAP = 64 << 10
Range = tuple[int, int]


@dataclass(frozen=True)
class Compiled:
    """One component's final graph, its path under /models, and the compile key with what it was made of."""

    name: str
    graph: str
    model: ir.Model
    key: str
    key_fields: Mapping[str, object]
    session: Session
    choice: Mapping[str, object] = field(default_factory=dict)
    """What was measured of the forms that it might be opened in; empty where nothing was."""
    artifacts: Sequence[Mapping[str, object]] = ()
    """Its compiled forms for one kind of machine each, best first (``entrypoints.manifest.Artifact``)."""


def describe(
    settings: Settings,
    components: Iterable[Compiled],
    files: Mapping[str, Mapping[str, object]],
    warmup: Mapping[str, object],
) -> dict[str, object]:
    """The manifest's content. Nothing of this machine is in it but what ``choice`` and ``artifacts`` say."""
    said = settings.warmup_tolerance
    return {
        "schema": SCHEMA,
        "name": settings.image,
        "target": settings.target,
        "checkpoint": settings.checkpoint,
        "model": {"module": settings.module, "revision": settings.model_revision},
        "components": {each.name: _component(settings, each) for each in components},
        "files": dict(files),
        "warmup": {**warmup, **({} if said is None else {"tolerance": said})},
        "limits": vars(settings.limits),
        "fallback": settings.fallback,
    }


def file_entry(path: Path, origin: str) -> dict[str, object]:
    """Size, digests and origin of a file."""
    return {"size": path.stat().st_size, **digests_of_file(path)._asdict(), "origin": origin}


def _component(settings: Settings, compiled: Compiled) -> dict[str, object]:
    own = settings.components[compiled.name]
    graph = compiled.model.graph
    about = Graph(compiled.name, own.precision.type, is_fixed(compiled.model))
    options = options_for(about, own.providers, own.options)
    return {
        **({"options": options} if options else {}),
        "graph": compiled.graph,
        "precision": own.precision.type,
        "providers": list(own.providers),
        "session": compiled.session.told,
        "inputs": {str(value.name): signature(value) for value in graph.inputs},
        "outputs": {str(value.name): signature(value) for value in graph.outputs},
        "reads": reads(compiled.model, compiled.graph.rpartition("/")[0]),
        "key": compiled.key,
        "key_fields": dict(compiled.key_fields),
        **({"choice": dict(compiled.choice)} if compiled.choice else {}),
        **({"artifacts": [dict(each) for each in compiled.artifacts]} if compiled.artifacts else {}),
        **({"buckets": _buckets(own)} if own.buckets else {}),
    }


def _buckets(own: Component) -> dict[str, object]:
    return {"shapes": [dict(shape) for shape in own.buckets], "pad": dict(own.pad), "outside": own.outside}


def signature(value: ir.Value) -> list[Any]:
    """Element type and axes: lengths, and names of free ones. One without a name is called by its tensor and its place, as in
    ``prebake.bake.signature``. None in place of the axes stands for a tensor of any rank."""
    dtype = value.dtype or ir.DataType.UNDEFINED  # which numpy() refuses
    kind = "string" if dtype == ir.DataType.STRING else dtype.numpy().name
    if value.shape is None:
        return [kind, None]
    dims = list(value.shape)
    named = [
        each if isinstance(each, int) else each.value or f"{value.name}.{place}" for place, each in enumerate(dims)
    ]
    return [kind, named]


def reads(model: ir.Model, folder: str) -> dict[str, list[list[int]]]:
    """Byte ranges of each weight file of ``folder`` that the graph uses, sorted and merged: what is worth reading ahead."""
    ranges: dict[str, set[Range]] = {}
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                span = (tensor.offset or 0, tensor.length or 0)
                ranges.setdefault(f"{folder}/{tensor.location}", set()).add(span)
    return {path: merge(each) for path, each in sorted(ranges.items())}


def merge(ranges: Iterable[Range], gap: int = _GAP) -> list[list[int]]:
    """``[offset, length]`` pairs, sorted; those that overlap, touch or lie within ``gap`` bytes become one."""
    merged: list[list[int]] = []
    for offset, length in sorted(ranges):
        if merged and offset <= sum(merged[-1]) + gap:
            merged[-1][1] = max(sum(merged[-1]), offset + length) - merged[-1][0]
        else:
            merged.append([offset, length])
    return merged
