"""Assemble an image: the base's layers, and every layer of the plan from its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prebake.docker.images.base_image import Base
from prebake.oci.blobs.blobs import Image
from prebake.oci.layout.assembly import EPOCH, BaseImage
from prebake.oci.layout.assembly import ImageLayer as ImageLayer
from prebake.oci.layout.assembly import assemble as assemble_image
from prebake.oci.records.layer_records import LayerRecord
from prebake.plan.image_config import container_config
from prebake.plan.values import Plan, PlannedLayer
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.pipeline.base_layers import base_image
from prebake.workflow.pipeline.resolution import LayerRecords


@dataclass(frozen=True)
class AssembledLayer:
    """A layer of the plan, or one part of it, with its record and its blob."""

    planned: PlannedLayer
    record: LayerRecord
    image_layer: ImageLayer


@dataclass(frozen=True)
class AssembledImage:
    """An image with its parts. ``volume`` is the image of everything under /models, if that is not in the image itself;
    ``layers`` are those of both."""

    image: Image
    base: BaseImage
    layers: Sequence[AssembledLayer]
    volume: Image | None = None


def assemble(
    plan: Plan, records: LayerRecords, base: Base, layers: LayerStore, *, volume: bool = False
) -> AssembledImage:
    """Every layer of the plan must have records. With ``volume`` everything under /models becomes an image of its own."""
    below, above = base_image(base, layers), assemble_layers(plan, records, layers)
    config, created = container_config(plan), plan.metadata.created_text or EPOCH
    if not volume:
        whole = [layer.image_layer for layer in above]
        return AssembledImage(assemble_image(below, whole, config.over, config.annotations, created), below, above)
    serving = [layer.image_layer for layer in above if not layer.planned.kind.under_models]
    models = [layer.image_layer for layer in above if layer.planned.kind.under_models]
    scratch = BaseImage({key: below.config[key] for key in ("architecture", "os")}, ())
    stable = replace(config, labels=config.stable_labels)
    weights = assemble_image(scratch, models, lambda _: {"Labels": dict(stable.labels)}, stable.annotations)
    image = assemble_image(below, serving, config.over, config.annotations, created)
    return AssembledImage(image, below, above, weights)


def assemble_layers(plan: Plan, records: LayerRecords, layers: LayerStore) -> list[AssembledLayer]:
    """In the order of the image."""
    return [
        AssembledLayer(
            planned,
            record,
            layers.layer(record, f"prebake: {planned.name}", planned.kind.annotations(planned.paths)),
        )
        for planned in plan.layers
        for record in records[planned.name] or ()
    ]
