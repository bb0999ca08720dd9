"""The store's objects that projects need: every file of their locks, and every object that a build of theirs looks up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import Connection, find_engine
from prebake.docker.images.base_image import Base, find_base_image
from prebake.errors import EngineUnavailable, LockMismatch, SpecInvalid, UnknownImage
from prebake.io.log import Log
from prebake.oci.layers.compression import Compression
from prebake.oci.records.layer_records import Records
from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.lock import parse_lock
from prebake.spec.project import Project, read_project, read_spec
from prebake.spec.project_folder import list_images
from prebake.workflow.layers.artifacts import look_up, open_layers
from prebake.workflow.layers.cache_keys import lookup_keys

_COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)


def needed_objects(roots: Sequence[Path], records: Records, log: Log) -> frozenset[str]:
    """The sha256 of every object that the projects at ``roots`` need.

    Cache keys depend on the base image of the Engine. If no Engine answers, if it lacks an image's base, or if an image cannot be
    planned, the objects of all records are needed. Raises UnknownImage for a folder that is no project.
    """
    needed: set[str] = set()
    keys: set[str] | None = set()
    connection = _engine(log)
    for root in roots:
        for name in _images(root):
            needed |= _pinned(root, name)
            more = _keys(root, name, connection, log)
            keys = None if keys is None or more is None else keys | more
    for key in records.keys() if keys is None else keys:
        needed |= records.objects(key)
    return frozenset(needed)


def _images(root: Path) -> list[str]:
    names = list_images(root)
    if not names:
        raise UnknownImage(f"{root} has no images/*/image.yaml.", next_action="give folders of projects to --keep")
    return names


def _pinned(root: Path, name: str) -> set[str]:
    """The locked files of every checkpoint, even if image.yaml has changed since."""
    path = root / "images" / name / "weights.lock"
    if not path.is_file():
        return set()
    lock = parse_lock(path.read_text(encoding="utf-8"), str(path))
    return {
        *lock.system.digests,
        *(file.sha256 for checkpoint in lock.checkpoints.values() for file in checkpoint.files),
    }


def _keys(root: Path, name: str, connection: Connection | None, log: Log) -> set[str] | None:
    """The cache keys of every build of an image; None if they are not known."""
    try:
        if not (root / "images" / name / "weights.lock").is_file() and not read_spec(root, name).models:
            return set()  # nothing was built of it
        if connection is None:
            return None
        plans = list(_plans(read_project(root, name)))
    except (SpecInvalid, LockMismatch) as error:
        log(
            f"cache: {name} cannot be planned, so the objects of all records are kept ({error.message.splitlines()[0]})"
        )
        return None
    with open_layers(Store(default_root()), (), log) as layers:
        found = [with_artifacts(plan, look_up(plan, layers, log)) for plan in plans]
    plans += [plan for plan in found if plan.all_artifacts]
    bases = [(plan, _bases(plan, connection)) for plan in plans]
    if missing := [plan.base.reference for plan, known in bases if not known]:
        log(f"cache: the Engine has no base for {name} ({missing[0]}), so the objects of all records are kept")
        return None
    return {
        key
        for plan, known in bases
        for base, compression in product(known, _COMPRESSIONS)
        for key in lookup_keys(plan, base, compression)
    }


def _plans(project: Project) -> Iterator[Plan]:
    if project.models:
        yield from (make_plan(project, Options(target)) for target in project.spec.targets)
    locked = project.lock.checkpoints if project.lock else ()
    for target, checkpoint in product(project.spec.targets, project.spec.checkpoints):
        if checkpoint in locked:
            yield make_plan(project, Options(target, checkpoint))


def _bases(plan: Plan, connection: Connection) -> Collection[Base]:
    """The locked base image and the one made on this machine, if the Engine has them."""
    reference = f"{plan.base.reference}@{plan.base.digest}"
    found = (find_base_image(connection, reference, choice) for choice in ("auto", "bootstrap"))
    return {base.digest: base for base in found if base}.values()


def _engine(log: Log) -> Connection | None:
    try:
        return find_engine()
    except EngineUnavailable as error:
        log(f"cache: {error.message.rstrip('.')}; the objects of all records are kept")
        return None
