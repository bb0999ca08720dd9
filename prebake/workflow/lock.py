"""``prebake lock``: resolve what image.yaml names, and pin it in weights.lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.lock import resolve
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.source import Sources
from prebake.checkpoints.store import Store, default_root
from prebake.engine.base import resolve_digest
from prebake.engine.connection import find_engine
from prebake.errors import LockMismatch, PrebakeError, Problem
from prebake.measure.report import write_text
from prebake.oci.compression import digest_of, probe
from prebake.oci.content import FileContent
from prebake.oci.tar import Entry, tar_of
from prebake.plan.layers import Tree, weight_trees
from prebake.plan.runtime import files_for
from prebake.spec.image import ImageSpec
from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedLayer, parse_lock, render_lock
from prebake.spec.project import Project, read_project
from prebake.spec.system import NO_SYSTEM
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Tell
from prebake.workflow.system import lock_system


def lock_image(root: Path, model: str, checkpoint: str | None, tell: Tell) -> str:
    """Pin one checkpoint, or every one; the lock's path. Nothing is written unless all of it could be resolved.

    An image of several models has no lock: what is pinned are the models, each in its own, and the paths are a line each.
    """
    project = read_project(root, model, locked=False)
    if project.members:
        return "\n".join(_lock_members(project, checkpoint, tell))
    path = project.folder / "weights.lock"
    before = parse_lock(path.read_text(encoding="utf-8"), f"images/{model}/weights.lock") if path.is_file() else None
    names = [checkpoint] if checkpoint else list(project.spec.checkpoints)
    if unknown := [name for name in names if name not in project.spec.checkpoints]:
        problem = Problem(f"images/{model}/image.yaml", f"has no checkpoint {unknown[0]!r}")
        raise LockMismatch(
            "No such checkpoint:", [problem], next_action=f"choose one of: {', '.join(project.spec.checkpoints)}"
        )
    store = Store(default_root())
    pinned: dict[str, LockedCheckpoint] = dict(before.checkpoints) if before else {}
    with store.in_use(), open_sources(root, model) as sources:
        for name in names:
            tell(f"lock: checkpoint {name}")
            resolved = resolve(project.spec.checkpoints[name], store, sources, terminal_progress())
            pinned[name] = replace(resolved, layers=lock_layers(project.spec, resolved, store, sources))
    kept = {name: pinned[name] for name in project.spec.checkpoints if name in pinned}
    base = _base(project, before, tell)
    system = lock_system(project.spec.system, base, before.system if before else NO_SYSTEM, tell)
    write_text(path, render_lock(Lock(base, kept, system)))
    return str(path.relative_to(root))


def _lock_members(project: Project, checkpoint: str | None, tell: Tell) -> Iterator[str]:
    """Of each model the checkpoint that the image takes."""
    if checkpoint is not None:
        problem = Problem(f"images/{project.spec.name}/image.yaml", f"has models, and no checkpoint {checkpoint!r}")
        action = f"lock one of its models: {', '.join(project.members)}"
        raise LockMismatch("No such checkpoint:", [problem], next_action=action)
    for name, member in project.members.items():
        yield lock_image(project.root, name, project.spec.models[name].checkpoint or member.spec.checkpoint, tell)


def lock_layers(
    spec: ImageSpec, checkpoint: LockedCheckpoint, store: Store, sources: Sources
) -> tuple[LockedLayer, ...]:
    """What the published files' layers will be, for every target: they are fetched for it, as a build will want them anyway."""
    by_target = [files_for(spec, target, checkpoint.files) for target in spec.targets]
    trees = {tree.folder: tree for files in by_target for tree in weight_trees(file for file in files if file.ship)}
    shipped = {file.path: file for tree in trees.values() for file in tree.files}
    fetch(list(shipped.values()), store, sources, terminal_progress())
    return tuple(_layer(tree, store) for tree in trees.values())


def _layer(tree: Tree, store: Store) -> LockedLayer:
    entries = [Entry(f"models/{file.path}", content=FileContent.of(store.place(file.sha256))) for file in tree.files]
    content = tar_of(entries)
    return LockedLayer(
        {file.path: file.sha256 for file in tree.files}, digest_of(content), content.size, probe(content)
    )


def _base(project: Project, before: Lock | None, tell: Tell) -> LockedBase:
    """The base image's digest: from its registry, else as it was pinned before, by this image or another of the project's,
    else as Prebake's own images pin it."""
    reference = project.spec.base
    pinned = (before, *_other_locks(project.root), parse_lock(project.templates["base.lock"], "templates/base.lock"))
    known = next((lock.base for lock in pinned if lock and lock.base.reference == reference), None)
    try:
        return LockedBase(reference, resolve_digest(find_engine(), reference))
    except PrebakeError as error:
        if known is None:
            raise
        tell(f"lock: the base image keeps its digest, its registry does not answer ({error.message.splitlines()[0]})")
        return known


def _other_locks(root: Path) -> Iterator[Lock]:
    for path in sorted((root / "images").glob("*/weights.lock")):
        with suppress(LockMismatch):
            yield parse_lock(path.read_text(encoding="utf-8"), str(path.relative_to(root)))
