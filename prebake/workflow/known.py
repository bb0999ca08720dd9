"""What is on record of a plan: by which keys, and what is known without making anything."""

from __future__ import annotations

from prebake.engine.base import Base
from prebake.oci.compression import Compression
from prebake.oci.records import FileRecord, LayerRecord
from prebake.plan.compiled import lookup_key
from prebake.plan.values import ON_ANY_BASE, Layer, Plan, digest
from prebake.workflow.parts import Parts


def keys_of(plan: Plan, base: Base, compression: Compression) -> list[str]:
    """Every key that a build of the plan on this base looks up."""
    layers = [record_key(planned, compression, base) for planned in plan.layers]
    whole = base_key(base)
    stages = [key for each in (plan, *plan.models) for key in (exported_key(each, base), compiled_key(each, base))]
    lists = [lookup_key(each) for each in plan.models]
    return [*layers, whole, digest([whole, "config"]), *stages, joined_key(plan, base), *lists]


def base_key(base: Base) -> str:
    return digest({"layers of": base.digest})


def exported_key(plan: Plan, base: Base) -> str:
    return digest({"exported": plan.export_key, "base": base.digest})


def compiled_key(plan: Plan, base: Base) -> str:
    return digest({"compiled": plan.compile_key, "base": base.digest})


def joined_key(plan: Plan, base: Base) -> str:
    """Of what several models become together, the artifacts of each included."""
    artifacts = {model.name: [each.to_json().decode() for each in model.artifacts] for model in plan.models}
    return digest({"joined": compiled_key(plan, base), "artifacts": artifacts})


def known_records(plan: Plan, planned: Layer, parts: Parts, base: Base | None) -> tuple[LayerRecord, ...] | None:
    """What a layer is, without making it: from the lock where that tells its digest and it travels as it is, else from
    what is on record. None where it has to be made, or where the base is not known that it is made on."""
    if planned.locked and (found := parts.of_lock(planned.locked, published_files(plan, planned))):
        return (found,)
    if base is None and planned.kind not in ON_ANY_BASE:
        return None
    return parts.library.layers(record_key(planned, parts.compression, base))


def record_key(planned: Layer, compression: str, base: Base | None) -> str:
    digest_of_base = base.digest if base and planned.kind not in ON_ANY_BASE else ""
    return digest([planned.key, planned.name, digest_of_base, compression])


def published_files(plan: Plan, planned: Layer) -> list[FileRecord]:
    """The files of a layer of published ones, by their paths in the image."""
    return [
        FileRecord(f"models/{file.path}", file.sha256, file.size)
        for file in plan.shipped
        if f"/models/{file.path}" in planned.paths
    ]
