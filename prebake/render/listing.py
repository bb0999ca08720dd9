"""Plans and images as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prebake.documents.artifact import ArtifactFile
from prebake.io.byte_sizes import format_bytes
from prebake.plan.artifact_layers import compile_command
from prebake.plan.image_config import container_config
from prebake.plan.values import Member, Plan, PlannedLayer
from prebake.render.build_options import BuildOptions, base_line, options_document, options_lines
from prebake.spec.image.image import ImageSpec


def plan_document(plan: Plan, options: BuildOptions) -> dict[str, Any]:
    """The plan for programs."""
    return {
        **options_document(plan, options),
        "image": plan.name,
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        "tag": plan.tag,
        "base": asdict(plan.base),
        "license": plan.license,
        "created": plan.metadata.created_text,
        "labels": dict(container_config(plan).labels),
        "files": [asdict(file) for file in plan.files],
        "layers": [
            {"name": layer.name, "kind": layer.kind, "paths": list(layer.paths), "size": layer.size, "key": layer.key}
            for layer in plan.layers
        ],
        "export_key": plan.export_key,
        "compile_key": plan.compile_key,
        "room": dict(plan.room),
        "artifacts": [artifact_document(artifact) for artifact in plan.all_artifacts],
        **({"compile_command": command} if (command := compile_command(plan)) else {}),
        **({"models": {member.name: _member(member) for member in plan.members}} if plan.members else {}),
    }


def artifact_document(artifact: ArtifactFile) -> dict[str, Any]:
    """An artifact: its component, and the machine that it is compiled for; ``size`` in bytes."""
    return {
        "component": artifact.component,
        "name": artifact.entry["name"],
        "key": artifact.key,
        "size": artifact.size,
        "requires": dict(artifact.entry["requires"]),
        "minimum": dict(artifact.entry["minimum"]),
        "choice": dict(artifact.entry.get("choice", {})),
    }


def artifact_lines(plan: Plan) -> list[str]:
    """The artifacts, or the command that compiles them if a GPU's are missing; empty if there are neither."""
    if command := compile_command(plan):
        return ["", "Compiled for machines", f"  none for a GPU: `{command}` compiles them on a machine with a GPU"]
    lines = [
        f"  {format_bytes(artifact.size):>10}  {artifact.key[:12]}  {artifact.component} ({artifact.entry['name']})"
        f" for {artifact.machine}"
        for artifact in plan.all_artifacts
    ]
    return ["", "Compiled for machines", *lines] if lines else []


def _member(member: Member) -> dict[str, Any]:
    plan = member.plan
    return {
        "checkpoint": plan.checkpoint,
        "license": plan.license,
        "places": dict(member.places),
        "export_key": plan.export_key,
        "compile_key": plan.compile_key,
    }


def _models(plan: Plan) -> list[str]:
    """Each of several models, with the paths that differ from those of its own image."""
    lines = []
    for member in plan.members:
        moved = [f"{name} at {place}" for name, place in member.places.items() if name != place]
        lines.append(
            f"  model       {member.name}, checkpoint {member.plan.checkpoint}{''.join(f', {m}' for m in moved)}"
        )
    return lines


def plan_text(plan: Plan, options: BuildOptions, steps: Sequence[str] = ()) -> str:
    """The plan for people; ``steps`` are the lines of its pipeline."""
    shipped = sum(file.size for file in plan.shipped)
    lines = [
        f"{plan.spec.title}: image {plan.tag}",
        f"  target      {plan.target}",
        base_line(plan, options.base),
        *_models(plan),
        f"  checkpoint  {plan.checkpoint}, {len(plan.files)} files, {format_bytes(sum(file.size for file in plan.files))}"
        f" ({format_bytes(shipped)} shipped as published)",
        f"  license     {plan.license}",
        *options_lines(plan, options),
        *(f"  label       {name}={value}" for name, value in plan.metadata.labels.items()),
        "",
        "Checkpoint",
        *(
            f"  {format_bytes(file.size):>10}  {file.sha256[:12]}  {file.path}  from {file.source}"
            for file in plan.files
        ),
        "",
        "Layers above the base, from the bottom",
        *(f"  {format_bytes(layer.size):>10}  {layer.key[:12]}  {_layer_name(layer)}" for layer in plan.layers),
        *artifact_lines(plan),
        "",
        *steps,
        f"Then {_after(options)}",
        f"Disk space needed at most: {format_bytes(plan.room['store'])} in the store,"
        f" {format_bytes(plan.room['engine'])} in the Engine",
    ]
    return "\n".join(lines)


def _layer_name(layer: PlannedLayer) -> str:
    """The name with the kind behind it, unless the name ends with it."""
    kind = f" ({layer.kind})"
    return layer.name if layer.name.endswith(kind) else f"{layer.name}{kind}"


def _after(options: BuildOptions) -> str:
    if "docker" in options.outputs:
        return "the image is started, its answer is compared with the reference, and the start is measured"
    return "the image is delivered; it is not started"


def list_document(specs: Sequence[ImageSpec]) -> list[Mapping[str, Any]]:
    """A CI matrix: one entry for each image and target."""
    return [
        {
            "model": spec.name,
            "target": target,
            **({"models": list(spec.models)} if spec.models else {"checkpoint": spec.checkpoint}),
            "title": spec.title,
        }
        for spec in specs
        for target in spec.targets
    ]


def list_text(specs: Sequence[ImageSpec]) -> str:
    width = max((len(spec.name) for spec in specs), default=0)
    return "\n".join(f"{spec.name.ljust(width)}  {', '.join(spec.targets):22}  {spec.title}" for spec in specs)
