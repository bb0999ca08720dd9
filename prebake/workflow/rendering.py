"""``--render DIR``: a Dockerfile and context that plain ``docker buildx build`` turns into the full image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from prebake.checkpoints.fetch import fetch, missing
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.store import Store, default_root
from prebake.errors import SourceError
from prebake.plan.making import check_licence
from prebake.plan.values import Plan
from prebake.render.dockerfile import render_context
from prebake.spec.project import Project
from prebake.workflow.artifacts import find_artifacts, open_parts
from prebake.workflow.context import write_context
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Tell
from prebake.workflow.system import fetch_system

# What an earlier rendering leaves at a folder's top; anything else there is somebody's own.
RENDERED = {
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


@dataclass(frozen=True)
class Rendering:
    """What was asked for. Artifacts are taken from the store and from the repositories of these references."""

    folder: Path
    accepted_licences: Collection[str] = ()
    references: Sequence[str] = ()


def render_folder(project: Project, plan: Plan, asked: Rendering, tell: Tell) -> None:
    """Write the context, weights and artifacts included. Raises SourceError rather than replace a folder that holds anything
    else."""
    folder = asked.folder
    check_licence(plan, asked.accepted_licences)
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - RENDERED):
        raise SourceError(
            f"{folder} holds other things than a rendered context.",
            next_action="name an empty or new folder: --render DIR replaces it",
        )
    store = Store(default_root())
    store.require_room(sum(file.size for file in missing(plan.files, store)))
    with store.in_use():
        for model in plan.models:
            with open_sources(project.root, model.name) as sources:
                fetch(model.files, store, sources, terminal_progress())
        fetch_system(plan.system, store, tell)
        with open_parts(store, asked.references, tell) as parts:
            plan = find_artifacts(plan, parts, tell, bring=True)
        write_context(folder.resolve(), render_context(plan, project.templates), store)
    created = plan.metadata.created or 0
    tell(f"rendered: SOURCE_DATE_EPOCH={created} docker buildx build --tag {plan.tag} {quote(str(folder))}")
