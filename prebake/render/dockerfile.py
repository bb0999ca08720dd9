"""The Dockerfiles of a plan, and the whole context they are built in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.plan.layers import weight_trees
from prebake.plan.values import ContextFile, Plan
from prebake.render.environment import render_template

# Where the CUDA packages of PyPI put their libraries, below the folder that pip installs into.
CUDA_LIBRARIES = (
    "cu13/lib",
    "cudnn/lib",
    "cuda_runtime/lib",
    "cublas/lib",
    "cufft/lib",
    "curand/lib",
    "cuda_nvrtc/lib",
)


def render_context(plan: Plan, templates: Mapping[str, str]) -> tuple[ContextFile, ...]:
    """Every file of the build's context: what the plan brings, the Dockerfiles, and the checkpoint by sha256."""
    names = ["Dockerfile", *(["naive.Dockerfile"] if plan.naive else [])]
    values = _values(plan)
    rendered = [ContextFile(name, render_template(templates, f"{name}.j2", values).encode()) for name in names]
    weights = [
        *(
            ContextFile(f"{tree.folder}/models/{file.path}", sha256=file.sha256)
            for tree in weight_trees(plan.shipped)
            for file in tree.files
        ),
        *(ContextFile(f"checkpoint/{file.path}", sha256=file.sha256) for file in plan.files if not file.ship),
    ]
    return tuple(sorted((*plan.context, *rendered, *weights), key=lambda file: file.path))


def _values(plan: Plan) -> dict[str, Any]:
    trees = weight_trees(plan.shipped)
    return {
        "name": plan.name,
        "title": plan.spec.title,
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        "tag": plan.tag,
        "base": f"{plan.base.reference}@{plan.base.digest}" if plan.base.digest else plan.base.reference,
        "components": [{"name": name, "derived": item.derived} for name, item in plan.spec.components.items()],
        "trees": [tree.folder for tree in trees],
        "shipped": [{"tree": tree.folder, "path": file.path} for tree in trees for file in tree.files],
        "cuda_libraries": [f"/opt/prebake/nvidia/{path}" for path in CUDA_LIBRARIES] + ["/opt/prebake/tensorrt_libs"],
        "labels": _labels(plan),
    }


def _labels(plan: Plan) -> dict[str, str]:
    """The OCI annotations that cost nothing to fill, as labels."""
    labels = {
        "org.opencontainers.image.title": plan.spec.title,
        "org.opencontainers.image.description": plan.spec.description,
        "org.opencontainers.image.licenses": plan.spec.checkpoints[plan.checkpoint].licence.id,
        "org.opencontainers.image.base.name": plan.base.reference,
        "org.opencontainers.image.base.digest": plan.base.digest,
        "dev.prebake.export-key": plan.export_key,
        "dev.prebake.compile-key": plan.compile_key,
    }
    return {key: value for key, value in labels.items() if value}
