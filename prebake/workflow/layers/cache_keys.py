"""The keys under which the build cache has results of a plan, and the records of a layer that are found by them."""

from __future__ import annotations

from prebake.docker.images.base_image import Base
from prebake.documents.canonical import digest_json
from prebake.oci.layers.compression import Compression
from prebake.oci.records.layer_records import FileRecord, LayerRecord
from prebake.plan.artifact_layers import lookup_key
from prebake.plan.values import Plan, PlannedLayer
from prebake.workflow.layers.layer_store import LayerStore


def lookup_keys(plan: Plan, base: Base, compression: Compression) -> list[str]:
    """Every key that a build of the plan on this base looks up."""
    layers = [layer_key(planned, compression, base) for planned in plan.layers]
    whole = base_key(base)
    stages = [
        key
        for model in (plan, *plan.models)
        for key in (exported_key(model, base), compiled_key(model, base), graphs_key(model, base))
    ]
    lists = [lookup_key(model) for model in plan.models]
    return [*layers, whole, digest_json([whole, "config"]), *stages, joined_key(plan, base), *lists]


def base_key(base: Base) -> str:
    return digest_json({"layers of": base.digest})


def exported_key(plan: Plan, base: Base) -> str:
    return digest_json({"exported": plan.export_key, "base": base.digest})


def compiled_key(plan: Plan, base: Base) -> str:
    return digest_json({"compiled": plan.compile_key, "base": base.digest})


def graphs_key(plan: Plan, base: Base) -> str:
    """The key of a model's graphs with the manifest that lists its artifacts."""
    artifacts = [artifact.to_json().decode() for artifact in plan.artifacts]
    return digest_json({"graphs": compiled_key(plan, base), "artifacts": artifacts})


def joined_key(plan: Plan, base: Base) -> str:
    """The key of the joined graphs and manifests of several models, with the artifacts of each."""
    artifacts = {model.name: [artifact.to_json().decode() for artifact in model.artifacts] for model in plan.models}
    return digest_json({"joined": compiled_key(plan, base), "artifacts": artifacts})


def known_records(
    plan: Plan, planned: PlannedLayer, layers: LayerStore, base: Base | None
) -> tuple[LayerRecord, ...] | None:
    """The records of a layer, or None if it has to be built. The record of a layer of published files comes from the lock if
    it is not compressed, any other from the build cache. None as well if the layer depends on a base image that is not known."""
    if planned.locked and (found := layers.record_locked(planned.locked, published_files(plan, planned))):
        return (found,)
    if base is None and not planned.kind.on_any_base:
        return None
    return layers.cache.layers(layer_key(planned, layers.compression, base))


def layer_key(planned: PlannedLayer, compression: str, base: Base | None) -> str:
    digest_of_base = base.digest if base and not planned.kind.on_any_base else ""
    return digest_json([planned.key, planned.name, digest_of_base, compression])


def published_files(plan: Plan, planned: PlannedLayer) -> list[FileRecord]:
    """The files of a layer of published files, by their paths in the image."""
    return [
        FileRecord(f"models/{file.path}", file.sha256, file.size)
        for file in plan.shipped
        if f"/models/{file.path}" in planned.paths
    ]
