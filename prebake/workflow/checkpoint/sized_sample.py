"""A sample checkpoint of a chosen size for one run. Its lock is in the build folder; the project's lock does not change."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.store.store import Store, default_root
from prebake.errors import LockMismatch, Problem, SpecInvalid
from prebake.io.atomic_write import write_text
from prebake.io.byte_sizes import parse_bytes
from prebake.io.log import Log
from prebake.plan.values import Options
from prebake.spec.image.image import Checkpoint
from prebake.spec.image.sources import FromSample
from prebake.spec.lock import RELOCK, Lock, LockedCheckpoint, parse_lock, render_lock
from prebake.spec.project import Project
from prebake.workflow.checkpoint.lock import lock_layers
from prebake.workflow.checkpoint.sources import open_sources


def size_sample(project: Project, options: Options, size: str, log: Log) -> tuple[Project, Options]:
    """The project with one more locked checkpoint, its sample with weights of ``size``; and options that choose it.

    Raises SpecInvalid if no checkpoint comes from ``sample.py``, SourceError if that cannot write another size.
    """
    spec, lock = project.spec, project.lock
    if lock is None:
        raise LockMismatch("No checkpoint is pinned yet.", [], next_action=RELOCK.format(name=spec.name))
    sample = _find_sample(project, options.checkpoint)
    name = f"{sample}_{size.replace(' ', '').lower()}"
    checkpoint = _sized(spec.checkpoints[sample], parse_bytes(size))
    sized = replace(project, spec=spec.model_copy(update={"checkpoints": {**spec.checkpoints, name: checkpoint}}))
    pinned = _pin(sized, lock, name, log)
    locked = replace(lock, checkpoints={**lock.checkpoints, name: pinned})
    return replace(sized, lock=locked), replace(options, checkpoint=name)


def _find_sample(project: Project, checkpoint: str | None) -> str:
    """The named checkpoint, or the default one, or the first that comes from ``sample.py``."""
    checkpoints = project.spec.checkpoints
    names = [checkpoint] if checkpoint else [project.spec.checkpoint, *checkpoints]
    for name in names:
        if name in checkpoints and any(isinstance(source, FromSample) for source in checkpoints[name].sources):
            return name
    where = f"images/{project.spec.name}/image.yaml"
    raise SpecInvalid(
        "--size needs a checkpoint from sample.py:",
        [Problem(where, f"no source is `from: sample` in {', '.join(dict.fromkeys(names))}")],
        next_action="add one with `from: sample`, and sample.py with write(folder, seed, size)",
    )


def _sized(checkpoint: Checkpoint, size: int) -> Checkpoint:
    sources = [
        source.model_copy(update={"size": size}) if isinstance(source, FromSample) else source
        for source in checkpoint.sources
    ]
    return checkpoint.model_copy(update={"sources": tuple(sources)})


def _pin(project: Project, lock: Lock, name: str, log: Log) -> LockedCheckpoint:
    """Lock the sample once for each state of image.yaml and the image's Python files, since writing gigabytes takes time."""
    path = project.root / "build" / project.spec.name / f"{name}-{_key(project)}.lock"
    if path.is_file():
        return parse_lock(path.read_text(encoding="utf-8"), str(path)).checkpoints[name]
    log(f"lock: checkpoint {name}")
    store = Store(default_root())
    with store.in_use(), open_sources(project.root, project.spec.name) as sources:
        resolved = resolve(project.spec.checkpoints[name], store, sources, terminal_progress())
        pinned = replace(resolved, layers=lock_layers(project.spec, resolved, store, sources))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_lock(Lock(lock.base, {name: pinned})))
    return pinned


def _key(project: Project) -> str:
    """A digest of image.yaml and of everything that ``sample.py`` may import from its folder."""
    digest = hashlib.sha256(project.spec.model_dump_json().encode())
    for path in sorted(project.folder.rglob("*.py")):
        digest.update(path.relative_to(project.folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
