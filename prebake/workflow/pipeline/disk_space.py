"""Check free disk space before anything is fetched or built, for what this build lacks."""

from __future__ import annotations

from prebake.checkpoints.fetch import find_missing
from prebake.docker.connection import Connection, storage_of
from prebake.docker.images.images import list_diff_ids
from prebake.errors import NoRoom
from prebake.io.byte_sizes import format_bytes
from prebake.oci.records.layer_records import LayerRecord
from prebake.plan.layer_kinds import LayerSource
from prebake.plan.values import Plan, PlannedLayer
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.pipeline.resolution import Resolution

_FROM_CHECKPOINT = {LayerSource.CHECKPOINT, LayerSource.EXPORT, LayerSource.GRAPHS}


def require_store_room(resolution: Resolution, layers: LayerStore) -> None:
    """Raises NoRoom if a layer needs the checkpoint, and the store has no room for missing files and converted ones."""
    plan = resolution.plan
    unknown = {layer.kind.source for layer in plan.layers if resolution.records[layer.name] is None}
    if unknown & _FROM_CHECKPOINT:
        converted = plan.converted_bytes if LayerSource.EXPORT in unknown else 0
        layers.store.require_room(sum(file.size for file in find_missing(plan.files, layers.store)) + converted)


def require_engine_room(resolution: Resolution, connection: Connection) -> None:
    """Raises NoRoom if the Engine has no room for the layers that it lacks, each as content and as snapshot."""
    plan, storage = resolution.plan, storage_of(connection)
    if storage.free is None or storage.free >= plan.room["engine"]:
        return
    has = list_diff_ids(connection)
    needed = sum(_engine_need(plan, layer, resolution.records[layer.name], has) for layer in plan.layers)
    if storage.free < needed:
        raise NoRoom(
            f"Building {plan.tag} needs up to {format_bytes(needed)} on the disk with the Engine's images ({storage.root});"
            f" {format_bytes(storage.free)} are free.",
            next_action="free space there: `docker system df` shows what uses it, `docker builder prune` frees build cache",
        )


def _engine_need(plan: Plan, layer: PlannedLayer, records: tuple[LayerRecord, ...] | None, has: frozenset[str]) -> int:
    """The largest number of bytes that the Engine needs for a layer."""
    if records is not None:
        return sum(2 * record.unpacked for record in records if record.diff_id not in has)
    return layer.kind.facts.engine_bytes or 2 * (layer.size if layer.size is not None else plan.converted_bytes)
