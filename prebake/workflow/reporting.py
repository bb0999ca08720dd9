"""The report of a build: ``build/<model>/<target>-<checkpoint>/report.json``, the latest also in ``build/<model>/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from prebake.engine.build import BuildResult
from prebake.measure.layer_picture import draw_layers
from prebake.measure.report import (
    SCHEMA,
    BuiltLayer,
    explain_layers,
    latest_path,
    read_report,
    report_path,
    write_document,
    write_text,
)
from prebake.oci.assembly import BaseImage
from prebake.oci.blobs import Image
from prebake.plan.container import container_config
from prebake.plan.values import MODEL_KINDS, Plan
from prebake.render.listing import artifact_document
from prebake.workflow.making import MadeLayer
from prebake.workflow.outputs import Delivered
from prebake.workflow.proving import Measured, Proof
from prebake.workflow.steps import Steps

PICTURE = "layers.svg"
"""Beside the report."""

REGISTRY = "registry:"
"""What the name of an output begins with that is a registry's."""

VOLUME = "-weights"
"""What the name of an image of weights alone ends in."""


@dataclass(frozen=True)
class Made:
    """An image with what it was put together of. ``volume`` is the image of everything under /models, where that is not in
    the image itself; ``layers`` are of both."""

    image: Image
    base: BaseImage
    layers: Sequence[MadeLayer]
    volume: Image | None = None


@dataclass(frozen=True)
class Outcome:
    """What a build came to. ``beside`` are the diff ids of the other images of the Engine, by name; ``components`` what the
    compile stage said of each."""

    plan: Plan
    made: Made
    built: Sequence[BuildResult]
    delivered: Mapping[str, Delivered]
    proof: Proof
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    components: Mapping[str, Any] = field(default_factory=dict)


def write_report(root: Path, outcome: Outcome, steps: Steps) -> Mapping[str, Any]:
    """Write the report and return it. It is kept for each target and checkpoint; ``root`` is the project's."""
    plan, image, volume = outcome.plan, outcome.made.image, outcome.made.volume
    own, latest = report_path(root, plan.name, plan.target, plan.checkpoint), latest_path(root, plan.name)
    before = read_report(own, steps.tell)
    layers = explain_layers(built_layers(outcome.made), before or read_report(latest, steps.tell))
    document = {
        "schema": SCHEMA,
        "image": plan.tag,
        "digest": image.digest,
        "config_digest": image.config.digest,
        "created": plan.metadata.created_text,
        "revision": plan.metadata.revision,
        "labels": dict(container_config(plan).labels),
        **({"volume": {"image": plan.tag + VOLUME, "digest": volume.digest}} if volume else {}),
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        **(
            {"models": {each.name: _model(each, outcome.proof.measured) for each in plan.models}}
            if plan.members
            else {}
        ),
        "size": sum(layer.size for layer in layers),
        "layers": [asdict(layer) for layer in layers],
        "shared": shared_models(layers, outcome.beside),
        "picture": PICTURE,
        "components": dict(outcome.components),
        "artifacts": [artifact_document(artifact) for artifact in plan.compiled],
        "keys": {"export": plan.export_key, "compile": plan.compile_key},
        "outputs": {name: asdict(each) for name, each in outcome.delivered.items()},
        "pushed": _pushed(outcome, before),
        "steps": dict(steps.seconds),
        "buildkit_seconds": round(sum(each.seconds for each in outcome.built), 3),
        "instructions": [asdict(step) for each in outcome.built for step in each.steps],
        **({"gpu": outcome.proof.gpu} if outcome.proof.gpu else {}),
        **(_measured(outcome.proof.measured) if outcome.proof.measured else {}),
    }
    for path in (own, latest):
        write_text(path.with_name(PICTURE), draw_layers(layers))
        write_document(path, document)
    return document


def _pushed(outcome: Outcome, before: Mapping[str, Any] | None) -> dict[str, str]:
    """Where this very image was pushed, by this build or an earlier one: references by tag, and what each is by digest."""
    made, names = outcome.made, {}
    weights = made.volume.digest if made.volume else None
    if before and (before["digest"], before.get("volume", {}).get("digest")) == (made.image.digest, weights):
        names.update(before.get("pushed", {}))
    for name, each in outcome.delivered.items():
        if name.startswith(REGISTRY):
            names[name.removeprefix(REGISTRY)] = each.name
    return names


def built_layers(made: Made) -> list[BuiltLayer]:
    """Every layer of the image, the base's first."""
    base = [
        BuiltLayer(f"base {n}", "base", layer.diff, {}, layer.diff, layer.unpacked, layer.blob.digest, layer.blob.size)
        for n, layer in enumerate(made.base.layers, 1)
    ]
    names = _names(made.layers)
    return base + [
        BuiltLayer(
            name,
            each.planned.kind,
            each.planned.key,
            each.planned.inputs,
            each.record.diff,
            each.record.unpacked,
            each.record.digest,
            each.record.size,
            each.record.reason,
        )
        for name, each in zip(names, made.layers, strict=True)
    ]


def shared_models(layers: Sequence[BuiltLayer], beside: Mapping[str, frozenset[str]]) -> Mapping[str, Any]:
    """What lies under /models in other images too and is stored once: bytes, and by layer the names of those images."""
    models = [layer for layer in layers if layer.kind in MODEL_KINDS]
    found = {layer.name: sorted(name for name, diffs in beside.items() if layer.diff_id in diffs) for layer in models}
    return {
        "bytes": sum(layer.size for layer in models if found[layer.name]),
        "layers": {name: images for name, images in found.items() if images},
    }


def _names(layers: Sequence[MadeLayer]) -> list[str]:
    """The plan's names; the parts of a layer that was split are numbered."""
    planned = [made.planned.name for made in layers]
    return [
        name if planned.count(name) == 1 else f"{name} {planned[: index + 1].count(name)}/{planned.count(name)}"
        for index, name in enumerate(planned)
    ]


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "starts": len(measured.ready),
        "phases": _phases(measured.startup),
        "ready_seconds": median(measured.ready),
        "ttfi_seconds": measured.ttfi,
        "floor_seconds": measured.floor.seconds,
        "floor": asdict(measured.floor),
        "difference": measured.difference,
    }


def _phases(startup: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The server's; where it has several models theirs too, each with the model's name in front."""
    found = list(startup.get("phases", []))
    for name, model in startup.get("models", {}).items():
        found += [{**phase, "name": f"{name}: {phase['name']}"} for phase in model["phases"]]
    return sorted(found, key=lambda phase: float(phase["start"]))


def _model(plan: Plan, measured: Measured | None) -> dict[str, Any]:
    """One of several: what it is, and how it started with the others beside it."""
    keys = {"export": plan.export_key, "compile": plan.compile_key}
    document: dict[str, Any] = {"checkpoint": plan.checkpoint, "licence": plan.licence, "keys": keys}
    if measured is None:
        return document
    starts = measured.starts[plan.name]
    return {
        **document,
        "ready_seconds": measured.startup["models"][plan.name]["ready_seconds"],
        "ttfi_seconds": median(start.ttfi for start in starts),
        "steady_seconds": median(start.steady for start in starts),
        "difference": max(start.difference for start in starts),
    }
