"""The Dockerfiles of a plan, and their whole build context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.plan.artifact_layers import artifact_trees
from prebake.plan.image_config import container_config, one_line
from prebake.plan.layers import model_folders
from prebake.plan.multi_model import published_trees
from prebake.plan.runtime import package_locks, runtime_of
from prebake.plan.values import ContextFile, Plan, is_whole
from prebake.render.environment import render_template
from prebake.render.stages import model_stages, package_stages


def render_context(plan: Plan, templates: Mapping[str, str]) -> tuple[ContextFile, ...]:
    """Every file of the build's context: the plan's files, the Dockerfiles, artifacts, and the checkpoints by sha256."""
    names = ["Dockerfile", *(["naive.Dockerfile"] if plan.naive else [])]
    values = _values(plan)
    rendered = [ContextFile(name, render_template(templates, f"{name}.j2", values).encode()) for name in names]
    linked = [
        *(
            ContextFile(f"{tree.folder}/models/{file.path}", sha256=file.sha256)
            for tree in published_trees(plan)
            for file in tree.files
        ),
        *(
            ContextFile(f"{stages.context}checkpoint/{file.path}", sha256=file.sha256)
            for stages, model in zip(model_stages(plan), plan.models, strict=True)
            for file in model.files
            if not is_whole(file)
        ),
        *(
            ContextFile(f"{tree.folder}/models/{file.path}", sha256=file.sha256)
            for tree in artifact_trees(plan)
            for file in tree.files
        ),
    ]
    files = (*plan.context, *rendered, *linked, *_described(plan))
    return tuple(sorted(files, key=lambda file: file.path))


def _described(plan: Plan) -> Iterator[ContextFile]:
    """The artifacts of each model, in the order in which a start tries them."""
    for stages, model in zip(model_stages(plan), plan.models, strict=True):
        for number, artifact in enumerate(model.artifacts):
            yield ContextFile(f"{stages.context}artifacts/{number:04}.json", artifact.to_json())


def _values(plan: Plan) -> dict[str, Any]:
    config, compiled = container_config(plan), artifact_trees(plan)
    placed = [f"models/{file.path}" for tree in compiled for file in tree.files]
    return {
        "name": plan.name,
        "title": one_line(plan.spec.title),
        "created": plan.metadata.created or 0,
        "target": plan.target,
        "runtime": runtime_of(plan.spec, plan.target),
        "locks": [f"{name}.txt" for name in package_locks(plan.spec, plan.target)],
        "checkpoint": plan.checkpoint,
        "tag": plan.tag,
        "base": f"{plan.base.reference}@{plan.base.digest}" if plan.base.digest else plan.base.reference,
        "export_packages": package_stages(plan),
        "models": model_stages(plan),
        "graphs": "join" if plan.members else "compile",
        "trees": [tree.folder for tree in published_trees(plan)],
        "shipped": [{"tree": tree.folder, "path": file.path} for tree in published_trees(plan) for file in tree.files],
        "compiled": [tree.folder for tree in compiled],
        "folders": model_folders(plan.shipped, plan.folders, placed),
        "env": config.env,
        "environment": [f"{name}={value}" for name, value in config.env.items() if not name.startswith("PREBAKE_")],
        "system": list(plan.system.names),
        "labels": config.labels,
        "user": config.user,
        "port": " ".join(map(str, config.ports)),
        "entrypoint": list(config.entrypoint),
    }
