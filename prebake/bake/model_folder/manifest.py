"""Writes ``/models/manifest.json``: the components, the files and the warm-up request of an image."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from prebake.bake.graphs.onnx_files import describe_value
from prebake.bake.graphs.provider_options import (
    GraphTraits,
    has_static_shapes,
    render_options,
)
from prebake.bake.model_folder.compile_job import CompileJob, FileEntries
from prebake.bake.weights.digests import compute_file_digests
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.manifest.schema import SCHEMA
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.documents.settings import StageSettings

# Reading across a gap of this size takes less time than a second request.
_MERGE_GAP_BYTES = 64 << 10
Range = tuple[int, int]


@dataclass(frozen=True)
class CompiledComponent:
    """A component with its optimized graph: the graph's path under /models, the compile key, and the inputs of that key."""

    name: str
    graph: str
    model: ir.Model
    key: str
    key_fields: Mapping[str, object]
    session: SessionSettings
    choice: Mapping[str, object] = field(default_factory=dict)
    """The measured ways to open it, and the chosen one; empty if nothing was measured."""


def make_manifest(
    settings: StageSettings,
    components: Iterable[CompiledComponent],
    files: Mapping[str, Mapping[str, object]],
    warmup: Mapping[str, object],
) -> dict[str, object]:
    """The manifest without its digest. ``choice``, and the session's settings that a trial chose, depend on the
    machine that bakes."""
    tolerance = settings.warmup_tolerance
    return {
        "schema": SCHEMA,
        "name": settings.image,
        "target": settings.target,
        "checkpoint": settings.checkpoint,
        "model": {"module": settings.module, "revision": settings.model_revision},
        "components": {component.name: _component(settings, component) for component in components},
        "files": dict(files),
        "warmup": {**warmup, **({} if tolerance is None else {"tolerance": tolerance})},
        "limits": vars(settings.limits),
        "fallback": settings.fallback,
    }


def file_entry(path: Path, origin: str) -> dict[str, object]:
    """Size, digests and origin of a file."""
    return {"size": path.stat().st_size, **compute_file_digests(path)._asdict(), "origin": origin}


def _component(settings: StageSettings, compiled: CompiledComponent) -> dict[str, object]:
    setting = settings.components[compiled.name]
    graph = compiled.model.graph
    description = GraphTraits(compiled.name, setting.precision.type, has_static_shapes(compiled.model))
    options = render_options(description, setting.providers, setting.options)
    return {
        **({"provider_options": options} if options else {}),
        "graph": compiled.graph,
        "precision": setting.precision.type,
        "providers": list(setting.providers),
        "session": compiled.session.to_manifest(),
        "inputs": {str(value.name): describe_value(value) for value in graph.inputs},
        "outputs": {str(value.name): describe_value(value) for value in graph.outputs},
        "byte_ranges": find_byte_ranges(compiled.model, compiled.graph.rpartition("/")[0]),
        "key": compiled.key,
        "key_inputs": dict(compiled.key_fields),
        **({"choice": dict(compiled.choice)} if compiled.choice else {}),
        **({"buckets": _buckets(setting)} if setting.buckets else {}),
    }


def _buckets(component: ComponentSettings) -> dict[str, object]:
    return {
        "shapes": [dict(shape) for shape in component.buckets],
        "pad": dict(component.pad),
        "overflow": component.overflow,
    }


def find_byte_ranges(model: ir.Model, folder: str) -> dict[str, list[list[int]]]:
    """The byte ranges that the graph uses of each weight file in ``folder``, sorted and merged. A start reads them ahead."""
    ranges: dict[str, set[Range]] = {}
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                span = (tensor.offset or 0, tensor.length or 0)
                ranges.setdefault(f"{folder}/{tensor.location}", set()).add(span)
    return {path: merge_ranges(spans) for path, spans in sorted(ranges.items())}


def merge_ranges(ranges: Iterable[Range], gap: int = _MERGE_GAP_BYTES) -> list[list[int]]:
    """Sorted ``[offset, length]`` pairs. Ranges with less than ``gap`` bytes between them become one."""
    merged: list[list[int]] = []
    for offset, length in sorted(ranges):
        if merged and offset <= sum(merged[-1]) + gap:
            merged[-1][1] = max(sum(merged[-1]), offset + length) - merged[-1][0]
        else:
            merged.append([offset, length])
    return merged


def write_models(job: CompileJob, compiled: list[CompiledComponent], files: FileEntries, target: Path) -> None:
    """Copy everything but weights to ``target``, add it to ``files``, and write the manifest."""
    for component in compiled:
        graph, constants = job.settings.graph(component.name), job.settings.constants(component.name)
        for path, origin in ((graph, "graph"), (constants, "derived")):
            if (job.models / path).exists():
                files[path] = _copy(job.models / path, target / path, origin)
    place_other_files(job, files, target)
    manifest = make_manifest(job.settings, compiled, files, job.exported.warmup)
    (target / MODEL_MANIFEST).write_bytes(seal_manifest(manifest))


def place_other_files(job: CompileJob, files: FileEntries, target: Path) -> None:
    """Copy the other files of the export stage: the warm-up request and assets."""
    for path in _warmup_files(job):
        files[path] = _copy(job.exported.model_file(path), target / path, "warmup")
    for path in job.exported.assets:
        files[path] = _copy(job.exported.model_file(path), target / path, "asset")


def _warmup_files(job: CompileJob) -> list[str]:
    root = job.exported.folder / "models"
    paths = (path.relative_to(root).as_posix() for path in (root / "warmup").rglob("*") if path.is_file())
    return sorted(set(paths) - set(job.exported.assets))


def _copy(source: Path, target: Path, origin: str) -> dict[str, object]:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return file_entry(target, origin)
