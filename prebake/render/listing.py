"""Plans and images as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prebake.bake.artifact_file import ArtifactFile
from prebake.plan.compiled import compile_command
from prebake.plan.container import container_config
from prebake.plan.values import Member, Plan
from prebake.render.asked import Asked, asked_document, asked_lines, base_line
from prebake.sizes import show_bytes
from prebake.spec.image import ImageSpec


def plan_document(plan: Plan, asked: Asked) -> dict[str, Any]:
    """The plan for programs."""
    return {
        **asked_document(plan, asked),
        "image": plan.name,
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        "tag": plan.tag,
        "base": asdict(plan.base),
        "licence": plan.licence,
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
        "artifacts": [artifact_document(artifact) for artifact in plan.compiled],
        **({"compile_command": command} if (command := compile_command(plan)) else {}),
        **({"models": {member.name: _member(member) for member in plan.members}} if plan.members else {}),
    }


def artifact_document(artifact: ArtifactFile) -> dict[str, Any]:
    """What was compiled of a component, and for which machine; ``size`` in bytes."""
    return {
        "component": artifact.component,
        "rung": artifact.entry["rung"],
        "key": artifact.key,
        "size": artifact.size,
        "for": dict(artifact.entry["fields"]),
        "least": dict(artifact.entry["least"]),
        "choice": dict(artifact.entry.get("choice", {})),
    }


def artifact_lines(plan: Plan) -> list[str]:
    """What was found compiled, and what makes it where a GPU's is missing; empty where neither is to be told."""
    if command := compile_command(plan):
        return ["", "Compiled for machines", f"  none for a GPU: `{command}` makes them where one is"]
    lines = [
        f"  {show_bytes(each.size):>10}  {each.key[:12]}  {each.component} ({each.entry['rung']}) for {each.machine}"
        for each in plan.compiled
    ]
    return ["", "Compiled for machines", *lines] if lines else []


def _member(member: Member) -> dict[str, Any]:
    plan = member.plan
    return {
        "checkpoint": plan.checkpoint,
        "licence": plan.licence,
        "places": dict(member.places),
        "export_key": plan.export_key,
        "compile_key": plan.compile_key,
    }


def _models(plan: Plan) -> list[str]:
    """Each of several models, and what of it lies elsewhere than in its own image."""
    lines = []
    for member in plan.members:
        moved = [f"{name} at {place}" for name, place in member.places.items() if name != place]
        lines.append(
            f"  model       {member.name}, checkpoint {member.plan.checkpoint}{''.join(f', {m}' for m in moved)}"
        )
    return lines


def plan_text(plan: Plan, asked: Asked) -> str:
    """The plan for people."""
    shipped = sum(file.size for file in plan.shipped)
    lines = [
        f"{plan.spec.title}: image {plan.tag}",
        f"  target      {plan.target}",
        base_line(plan, asked.base),
        *_models(plan),
        f"  checkpoint  {plan.checkpoint}, {len(plan.files)} files, {show_bytes(sum(file.size for file in plan.files))}"
        f" ({show_bytes(shipped)} shipped as published)",
        f"  licence     {plan.licence}",
        *asked_lines(plan, asked),
        *(f"  label       {name}={value}" for name, value in plan.metadata.labels.items()),
        "",
        "Checkpoint",
        *(f"  {show_bytes(file.size):>10}  {file.sha256[:12]}  {file.path}  from {file.source}" for file in plan.files),
        "",
        "Layers above the base, from the bottom",
        *(f"  {show_bytes(layer.size):>10}  {layer.key[:12]}  {layer.name} ({layer.kind})" for layer in plan.layers),
        *artifact_lines(plan),
        "",
        f"Steps: fetch what is missing, build (packages, export, compile, image){_proof(asked)}",
        f"Room needed at most: {show_bytes(plan.room['store'])} in the store, {show_bytes(plan.room['engine'])} at the Engine",
    ]
    return "\n".join(lines)


def _proof(asked: Asked) -> str:
    return ", start it, compare its answer, measure" if "docker" in asked.outputs else "; it is not started"


def list_document(specs: Sequence[ImageSpec]) -> list[Mapping[str, Any]]:
    """A CI matrix: one entry an image and target."""
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
