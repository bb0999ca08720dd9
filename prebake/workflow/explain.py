"""``prebake explain``: the layers and who has them, the pipeline that a build would run, and what a change would rebuild and
send. Looks only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prebake.docker.images.images import list_diff_ids
from prebake.io.log import Log
from prebake.io.terminal import Screen
from prebake.oci.records.layer_records import LayerRecord
from prebake.oci.registry.repository import Repository
from prebake.plan.changes import changed_layers
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.planner import make_plan
from prebake.plan.values import PlannedLayer
from prebake.render.layer_table import change_table
from prebake.render.listing import artifact_document, artifact_lines
from prebake.spec.project import read_project
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.pipeline.preview import preview
from prebake.workflow.pipeline.step import pipeline_document, pipeline_lines
from prebake.workflow.requests import ExplainRequest


@dataclass(frozen=True)
class ExplainedLayer:
    """A layer. ``blob_size`` (bytes) and ``digest`` are None until it was built once. ``store``, ``engine`` and ``registry``
    say who has it; None if that could not be asked."""

    name: str
    kind: LayerKind
    key: str
    inputs: tuple[str, ...]
    size: int | None
    digest: str | None
    blob_size: int | None
    compression_reason: str | None
    store: bool
    engine: bool | None
    registry: bool | None


def explain_image(request: ExplainRequest, log: Log) -> Mapping[str, Any]:
    """The layers, the pipeline, and for each kind of change: the layers that are built again, the artifacts that ``prebake
    compile`` would make again, and the largest number of bytes sent."""
    project = read_project(request.root, request.model)
    planned = make_plan(project, request.options)
    references = [request.registry] if request.registry else []
    with preview(planned, request.base, references, request.compression, log) as seen:
        if seen.unavailable:
            log(f"explain: {seen.unavailable}; what it has is not known")
        for left_out in seen.resolution.left_out:
            log(f"artifact: {left_out}")
        resolution = seen.resolution
        plan, base = resolution.plan, resolution.base
        found = {model.name: model.artifacts for model in plan.models}
        engine = list_diff_ids(seen.connection) if seen.connection else None
        layers = [_explain(layer, resolution.records[layer.name] or (), seen.layers, engine) for layer in plan.layers]
    return {
        "image": plan.tag,
        "labels": plan.metadata.labels,
        "base": asdict(base) if base else None,
        "layers": [asdict(layer) for layer in layers],
        "pipeline": pipeline_document(seen.pipeline),
        "artifacts": [artifact_document(artifact) for artifact in plan.all_artifacts],
        "compiled": artifact_lines(plan),
        "changes": _changes(changed_layers(project, request.options, found), layers),
    }


def explained_text(explained: Mapping[str, Any], screen: Screen) -> str:
    """For a person."""
    labels = [f"label   {name}={value}" for name, value in explained["labels"].items()]
    lines = [f"image   {explained['image']}", *labels, "", *change_table(explained, screen), *explained["compiled"]]
    return "\n".join([*lines, "", *pipeline_lines(explained["pipeline"])])


def _explain(
    layer: PlannedLayer,
    records: Sequence[LayerRecord],
    layers: LayerStore,
    engine: frozenset[str] | None,
) -> ExplainedLayer:
    """A layer of several parts is at a place if all of its parts are."""
    return ExplainedLayer(
        name=layer.name,
        kind=layer.kind,
        key=layer.key,
        inputs=tuple(sorted(layer.inputs)),
        size=sum(record.unpacked for record in records) if records else layer.size,
        digest=records[0].digest if len(records) == 1 else None,
        blob_size=sum(record.size for record in records) if records else None,
        compression_reason=records[0].reason if records else None,
        store=bool(records) and all(layers.has_bytes(record) for record in records),
        engine=None if engine is None else bool(records) and all(record.diff_id in engine for record in records),
        registry=_at_registry(records, layers.cache.repositories),
    )


def _at_registry(records: Sequence[LayerRecord], repositories: Sequence[Repository]) -> bool | None:
    if not repositories:
        return None
    return bool(records) and all(repository.has(record.digest) for repository in repositories for record in records)


def _changes(touched: Mapping[str, Sequence[str]], layers: Sequence[ExplainedLayer]) -> dict[str, dict[str, Any]]:
    sizes = {layer.name: layer.blob_size for layer in layers}
    machines = {layer.name for layer in layers if layer.kind is LayerKind.COMPILED}
    found: dict[str, dict[str, Any]] = {}
    for name, names in touched.items():
        known = [sizes.get(layer) for layer in names]
        total = sum(size for size in known if size is not None)
        compiled = [layer for layer in names if layer in machines]
        # Weights of another precision have another size, and may get a layer of their own.
        unknown = None in known or name == "precision"
        found[name] = {"layers": list(names), "compiled": compiled, "bytes": None if unknown else total}
    return found
