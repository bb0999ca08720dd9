"""``prebake lock``: resolve the sources of image.yaml and pin their files in weights.lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.source import Sources
from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import find_engine
from prebake.docker.images.base_image import resolve_digest
from prebake.errors import LockMismatch, PrebakeError, Problem, SchemaOutdated
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.oci.blobs.content import FileContent
from prebake.oci.layers.compression import digest_content, estimate_ratio
from prebake.oci.layers.tar import TarEntry, tar_content
from prebake.plan.layers import Tree, weight_trees
from prebake.plan.runtime import files_for
from prebake.spec.image.image import ImageSpec
from prebake.spec.image.system_packages import NO_SYSTEM
from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedLayer, parse_lock, render_lock
from prebake.spec.project import Project, read_project
from prebake.workflow.checkpoint.sources import open_sources
from prebake.workflow.checkpoint.system_packages import lock_system


def lock_image(root: Path, model: str, checkpoint: str | None, log: Log) -> str:
    """Pin one checkpoint, or all of them. Returns the lock's path. The lock is written only if everything was resolved.

    A multi-model image has no lock: each of its models is locked in its own file, and the result has one path a line.
    """
    project = read_project(root, model, locked=False)
    if project.models:
        return "\n".join(_lock_models(project, checkpoint, log))
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
            log(f"lock: checkpoint {name}")
            resolved = resolve(project.spec.checkpoints[name], store, sources, terminal_progress())
            pinned[name] = replace(resolved, layers=lock_layers(project.spec, resolved, store, sources))
    kept = {name: pinned[name] for name in project.spec.checkpoints if name in pinned}
    base = _lock_base(project, before, log)
    system = lock_system(project.spec.system_packages, base, before.system if before else NO_SYSTEM, log)
    write_text(path, render_lock(Lock(base, kept, system)))
    return str(path.relative_to(root))


def _lock_models(project: Project, checkpoint: str | None, log: Log) -> Iterator[str]:
    """Lock the checkpoint of each model that the image serves."""
    if checkpoint is not None:
        problem = Problem(f"images/{project.spec.name}/image.yaml", f"has models and no checkpoint {checkpoint!r}")
        action = f"lock one of its models: {', '.join(project.models)}"
        raise LockMismatch("No such checkpoint:", [problem], next_action=action)
    for name, member in project.models.items():
        yield lock_image(project.root, name, project.spec.models[name].checkpoint or member.spec.checkpoint, log)


def lock_layers(
    spec: ImageSpec, checkpoint: LockedCheckpoint, store: Store, sources: Sources
) -> tuple[LockedLayer, ...]:
    """The layers of the published files for every target. This downloads the files; a build needs them as well."""
    by_target = [files_for(spec, target, checkpoint.files) for target in spec.targets]
    trees = {tree.folder: tree for files in by_target for tree in weight_trees(file for file in files if file.ship)}
    shipped = {file.path: file for tree in trees.values() for file in tree.files}
    fetch(list(shipped.values()), store, sources, terminal_progress())
    return tuple(_layer(tree, store) for tree in trees.values())


def _layer(tree: Tree, store: Store) -> LockedLayer:
    entries = [TarEntry(f"models/{file.path}", content=FileContent.of(store.place(file.sha256))) for file in tree.files]
    content = tar_content(entries)
    return LockedLayer(
        files={file.path: file.sha256 for file in tree.files},
        digest=digest_content(content),
        size=content.size,
        zstd_ratio=estimate_ratio(content),
    )


def _lock_base(project: Project, before: Lock | None, log: Log) -> LockedBase:
    """The base image's digest from its registry. If that does not answer: from this image's lock, from another lock of the
    project, or from Prebake's own lock."""
    reference = project.spec.base
    pinned = (before, *_other_locks(project.root), parse_lock(project.templates["base.lock"], "templates/base.lock"))
    known = next((lock.base for lock in pinned if lock and lock.base.reference == reference), None)
    try:
        return LockedBase(reference, resolve_digest(find_engine(), reference))
    except PrebakeError as error:
        if known is None:
            raise
        log(
            f"lock: the base image keeps its digest, since its registry does not answer ({error.message.splitlines()[0]})"
        )
        return known


def _other_locks(root: Path) -> Iterator[Lock]:
    for path in sorted((root / "images").glob("*/weights.lock")):
        with suppress(LockMismatch, SchemaOutdated):
            yield parse_lock(path.read_text(encoding="utf-8"), str(path.relative_to(root)))
