"""``--render DIR``: write a Dockerfile and a context from which plain ``docker buildx build`` builds the whole image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from prebake.checkpoints.fetch import fetch, find_missing
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.store.store import Store, default_root
from prebake.errors import SourceError, SpecInvalid
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.planner import check_license, make_plan
from prebake.plan.values import Options, Plan
from prebake.render.bakefile import render_bake_file
from prebake.render.dockerfile import render_context
from prebake.spec.image.image import Target
from prebake.spec.project import Project, read_project, read_spec
from prebake.spec.project_folder import list_images
from prebake.workflow.checkpoint.sources import open_sources
from prebake.workflow.checkpoint.system_packages import fetch_system
from prebake.workflow.layers.artifacts import find_artifacts, open_layers
from prebake.workflow.requests import BakeFileRequest, RenderRequest
from prebake.workflow.stages.context import write_context

# The top-level names of an earlier rendering; anything else in the folder belongs to the user.
RENDERED_NAMES = {
    "Dockerfile",
    "naive.Dockerfile",
    "app",
    "artifacts",
    "bake",
    "checkpoint",
    "compiled",
    "members",
    "naive",
    "published",
    "requirements",
    "cleanup",
    "slim.py",
    "system",
}


def render_folder(project: Project, plan: Plan, request: RenderRequest, log: Log) -> None:
    """Write the context, weights and artifacts included. Raises SourceError if the folder contains anything else."""
    folder = request.folder
    check_license(plan, request.accepted_licenses)
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - RENDERED_NAMES):
        raise SourceError(
            f"{folder} contains files that do not belong to a rendered context.",
            next_action="give an empty or new folder: --render DIR replaces its content",
        )
    store = Store(default_root())
    store.require_room(sum(file.size for file in find_missing(plan.files, store)))
    with store.in_use():
        for model in plan.models:
            with open_sources(project.root, model.name) as sources:
                fetch(model.files, store, sources, terminal_progress())
        fetch_system(plan.system, store, log)
        with open_layers(store, request.registries, log, cache_from=request.cache_from) as parts:
            plan = with_artifacts(plan, find_artifacts(plan, parts, log, download=True))
        write_context(folder.resolve(), render_context(plan, project.templates), store)
    created = plan.metadata.created or 0
    log(f"rendered: SOURCE_DATE_EPOCH={created} docker buildx build --tag {plan.tag} {quote(str(folder))}")


BAKE_FILE = "docker-bake.json"


def write_bake_file(request: BakeFileRequest, log: Log) -> Path:
    """Render each context into ``request.folder/MODEL-TARGET``, and the file beside them; its path. Every image is planned before
    anything is written. Raises SpecInvalid where nothing is left to build."""
    projects = {name: read_project(request.root, name) for name in request.models or list_images(request.root)}
    plans = {
        f"{name}-{target}": make_plan(projects[name], Options(target=target, metadata=request.metadata))
        for name, target in _chosen(request, projects)
    }
    if not plans:
        raise SpecInvalid("No image has this target.", [], next_action="`--list` shows images and their targets")
    for name, plan in plans.items():
        rendered = RenderRequest(
            root=request.root,
            model=plan.name,
            options=Options(target=plan.target, metadata=request.metadata),
            folder=request.folder / name,
            accepted_licenses=request.accepted_licenses,
        )
        render_folder(projects[plan.name], plan, rendered, log)
    path = request.folder / BAKE_FILE
    write_text(path, render_bake_file(plans, request.compression))
    return path


def _chosen(request: BakeFileRequest, names: Iterable[str]) -> list[tuple[str, Target]]:
    return [
        (name, target)
        for name in names
        for target in read_spec(request.root, name).targets
        if not request.targets or target in request.targets
    ]
