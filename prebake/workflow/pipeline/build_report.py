"""The report of a build: ``build/<model>/<target>-<checkpoint>/report.json``; the latest also lies in ``build/<model>/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from prebake.docker.buildkit.buildx import BuildResult
from prebake.docker.images.base_image import Base
from prebake.io.atomic_write import write_text
from prebake.io.steps import Steps
from prebake.measure.report.layer_picture import draw_layers
from prebake.measure.report.report_files import (
    SCHEMA,
    BuiltLayer,
    explain_layers,
    latest_path,
    read_report,
    report_path,
    write_document,
)
from prebake.measure.start import median_start
from prebake.plan.image_config import container_config
from prebake.plan.layer_kinds import MODEL_KINDS
from prebake.plan.values import Plan
from prebake.render.listing import artifact_document
from prebake.workflow.delivery.outputs import Delivery
from prebake.workflow.layers.cache_keys import compiled_key
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.pipeline.assembly import AssembledImage, AssembledLayer
from prebake.workflow.pipeline.step import Pipeline, pipeline_document
from prebake.workflow.stages.executor import read_stage_report
from prebake.workflow.start_check.start_check import StartCheck, StartMeasurement

PICTURE_FILE = "layers.svg"
API_FILE = "openapi.json"
"""The file name of the picture beside the report."""

REGISTRY_PREFIX = "registry:"
"""The prefix of the name of a registry's output."""

WEIGHTS_SUFFIX = "-weights"
"""The suffix of the name of a weights image."""


@dataclass(frozen=True)
class BuildReport:
    """The results of a build. ``pipeline`` are its steps as they ran; ``other_images`` are the diff IDs of the Engine's other
    images, by name; ``components`` the compile stage's report of each."""

    plan: Plan
    image: AssembledImage
    pipeline: Pipeline
    built: Sequence[BuildResult]
    delivered: Mapping[str, Delivery]
    check: StartCheck
    other_images: Mapping[str, frozenset[str]] = field(default_factory=dict)
    components: Mapping[str, Any] = field(default_factory=dict)


def write_report(root: Path, build: BuildReport, steps: Steps) -> Mapping[str, Any]:
    """Write the report of this target and checkpoint, and return it. ``root`` is the project's folder."""
    plan, image, volume = build.plan, build.image.image, build.image.volume
    path, latest = report_path(root, plan.name, plan.target, plan.checkpoint), latest_path(root, plan.name)
    before = read_report(path, steps.log)
    layers = explain_layers(built_layers(build.image), before or read_report(latest, steps.log))
    document = {
        "schema": SCHEMA,
        "image": plan.tag,
        "digest": image.digest,
        "config_digest": image.config.digest,
        "created": plan.metadata.created_text,
        "revision": plan.metadata.revision,
        "labels": dict(container_config(plan).labels),
        **({"volume": {"image": plan.tag + WEIGHTS_SUFFIX, "digest": volume.digest}} if volume else {}),
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        **({"models": {model.name: _model(model, build.check) for model in plan.models}} if plan.members else {}),
        "size": sum(layer.size for layer in layers),
        "layers": [asdict(layer) for layer in layers],
        "shared": shared_models(layers, build.other_images),
        "layer_picture": PICTURE_FILE,
        **({"openapi": API_FILE} if build.check.api else {}),
        "components": dict(build.components),
        "artifacts": [artifact_document(artifact) for artifact in plan.all_artifacts],
        "keys": {"export": plan.export_key, "compile": plan.compile_key},
        "outputs": {name: asdict(delivery) for name, delivery in build.delivered.items()},
        "pushed": _pushed(build, before),
        "step_seconds": dict(steps.seconds),
        "pipeline": pipeline_document(build.pipeline),
        "buildkit_seconds": round(sum(result.seconds for result in build.built), 3),
        "buildkit_steps": [asdict(step) for result in build.built for step in result.steps],
        **({"gpu": build.check.gpu} if build.check.gpu else {}),
        **_started(build.check),
    }
    for place in (path, latest):
        write_text(place.with_name(PICTURE_FILE), draw_layers(layers))
        if build.check.api:
            write_document(place.with_name(API_FILE), build.check.api)
        else:  # an earlier build's would be about another image
            place.with_name(API_FILE).unlink(missing_ok=True)
        write_document(place, document)
    return document


def read_components(plan: Plan, base: Base, layers: LayerStore) -> Mapping[str, Any]:
    """The compile stage's report of each component, also from an earlier build; empty if another machine compiled it."""
    if plan.members:
        by_model = ((model.name, read_components(model, base, layers)) for model in plan.models)
        return {f"{model}/{name}": report for model, reports in by_model for name, report in reports.items()}
    return read_stage_report(layers.cache.records.files(compiled_key(plan, base)), layers.store)


def _pushed(build: BuildReport, before: Mapping[str, Any] | None) -> dict[str, str]:
    """Where this image was pushed, by this build or an earlier one: references by digest, by their tags."""
    image, names = build.image, {}
    weights = image.volume.digest if image.volume else None
    if before and (before["digest"], before.get("volume", {}).get("digest")) == (image.image.digest, weights):
        names.update(before.get("pushed", {}))
    for name, delivery in build.delivered.items():
        if name.startswith(REGISTRY_PREFIX):
            names[name.removeprefix(REGISTRY_PREFIX)] = delivery.name
    return names


def built_layers(image: AssembledImage) -> list[BuiltLayer]:
    """Every layer of the image, beginning with the base's."""
    base = [
        BuiltLayer(
            name=f"base {n}",
            kind="base",
            key=layer.diff_id,
            inputs={},
            diff_id=layer.diff_id,
            size=layer.unpacked,
            digest=layer.blob.digest,
            blob_size=layer.blob.size,
        )
        for n, layer in enumerate(image.base.layers, 1)
    ]
    names = _names(image.layers)
    return base + [
        BuiltLayer(
            name=name,
            kind=layer.planned.kind,
            key=layer.planned.key,
            inputs=layer.planned.inputs,
            diff_id=layer.record.diff_id,
            size=layer.record.unpacked,
            digest=layer.record.digest,
            blob_size=layer.record.size,
            compression_reason=layer.record.reason,
        )
        for name, layer in zip(names, image.layers, strict=True)
    ]


def shared_models(layers: Sequence[BuiltLayer], other_images: Mapping[str, frozenset[str]]) -> Mapping[str, Any]:
    """The layers under /models that other images of the Engine share: their bytes, and by layer the names of these images."""
    models = [layer for layer in layers if layer.kind in MODEL_KINDS]
    found = {
        layer.name: sorted(name for name, diff_ids in other_images.items() if layer.diff_id in diff_ids)
        for layer in models
    }
    return {
        "bytes": sum(layer.size for layer in models if found[layer.name]),
        "layers": {name: images for name, images in found.items() if images},
    }


def _names(layers: Sequence[AssembledLayer]) -> list[str]:
    """The names of the plan's layers; parts of a split layer are numbered."""
    planned = [layer.planned.name for layer in layers]
    return [
        name if planned.count(name) == 1 else f"{name} {planned[: index + 1].count(name)}/{planned.count(name)}"
        for index, name in enumerate(planned)
    ]


def _started(check: StartCheck) -> dict[str, Any]:
    """Nothing if the image was not started. ``starts`` is 0 if the answer was compared and no start was timed."""
    if not check.answered:
        return {}
    figures = _figures(check.measured) if check.measured else {"starts": 0}
    return {**figures, "answer_difference": check.difference}


def _figures(measured: StartMeasurement) -> dict[str, Any]:
    return {
        "starts": len(measured.ready),
        **median_start(measured.readies),
        "ready_seconds": median(measured.ready),
        "ttfi_seconds": measured.ttfi,
        "floor_seconds": measured.floor.seconds,
        "floor": asdict(measured.floor),
    }


def _model(plan: Plan, check: StartCheck) -> dict[str, Any]:
    """One of several models, and its start in the image of all."""
    keys = {"export": plan.export_key, "compile": plan.compile_key}
    document: dict[str, Any] = {"checkpoint": plan.checkpoint, "license": plan.license, "keys": keys}
    if not check.answered:
        return document
    first, measured = check.answered[plan.name], check.measured
    if measured is None:
        return {**document, "answer_difference": first.difference}
    starts = measured.starts[plan.name]
    return {
        **document,
        "ready_seconds": measured.startup["models"][plan.name]["ready_seconds"],
        "ttfi_seconds": median(start.ttfi for start in starts),
        "steady_seconds": median(start.steady for start in starts),
        "answer_difference": max(start.difference for start in (first, *starts)),
    }
