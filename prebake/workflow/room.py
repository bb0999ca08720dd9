"""Room on disks: asked for before anything is fetched or built, and only for what this build lacks."""

from __future__ import annotations

from collections.abc import Sequence

from prebake.checkpoints.fetch import missing
from prebake.engine.base import Base
from prebake.engine.connection import Connection, storage_of
from prebake.engine.images import known_layers
from prebake.errors import NoRoom
from prebake.oci.records import LayerRecord
from prebake.plan.values import Layer, Plan
from prebake.sizes import show_bytes
from prebake.workflow.known import known_records
from prebake.workflow.parts import Parts

Known = Sequence[tuple[Layer, tuple[LayerRecord, ...] | None]]

_PACKAGES = 4 * 2**30  # of the image and of its export, while BuildKit installs them
_CODE = 2**26


def layers_known(plan: Plan, parts: Parts, base: Base | None) -> Known:
    """Each layer with what is on record of it, on a base that the Engine has; None where it has to be made."""
    return [(layer, known_records(plan, layer, parts, base)) for layer in plan.layers]


def require_store_room(plan: Plan, parts: Parts, known: Known) -> None:
    """Raises NoRoom where a layer is to be made of the checkpoint, and the store has no room for what it lacks of it, and
    for what is converted."""
    unknown = {layer.kind for layer, records in known if records is None}
    if unknown & {"weights", "derived", "graphs"}:
        converted = plan.converted if "derived" in unknown else 0
        parts.store.require_room(sum(file.size for file in missing(plan.files, parts.store)) + converted)


def require_engine_room(plan: Plan, connection: Connection, known: Known) -> None:
    """Raises NoRoom where the Engine cannot take the layers that it lacks, each as content and as snapshot."""
    storage = storage_of(connection)
    if storage.free is None or storage.free >= plan.room["engine"]:
        return
    has = known_layers(connection)
    needed = sum(_engine_need(plan, layer, records, has) for layer, records in known)
    if storage.free < needed:
        raise NoRoom(
            f"Building {plan.tag} needs up to {show_bytes(needed)} where the Engine keeps its images ({storage.root});"
            f" {show_bytes(storage.free)} are free.",
            next_action="free room there: `docker system df` shows what is used, `docker builder prune` frees build cache",
        )


def _engine_need(plan: Plan, layer: Layer, records: tuple[LayerRecord, ...] | None, has: frozenset[str]) -> int:
    """Bytes at most."""
    if records is not None:
        return sum(2 * record.unpacked for record in records if record.diff not in has)
    if layer.kind == "dependencies":
        return _PACKAGES
    if layer.kind == "code":
        return _CODE
    return 2 * (layer.size if layer.size is not None else plan.converted)
