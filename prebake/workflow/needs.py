"""What projects need of the store: every file that their locks pin, and every object that a build of theirs would look up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

from prebake.engine.base import Base, known_base
from prebake.engine.connection import Connection, find_engine
from prebake.errors import EngineUnavailable, LockMismatch, SpecInvalid, UnknownImage
from prebake.oci.compression import Compression
from prebake.oci.records import Records
from prebake.plan.making import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.lock import parse_lock
from prebake.spec.project import Project, list_images, read_project, read_spec
from prebake.workflow.artifacts import look_up
from prebake.workflow.known import keys_of
from prebake.workflow.steps import Tell

_COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)


def needed_objects(roots: Sequence[Path], records: Records, tell: Tell) -> frozenset[str]:
    """The sha256 of everything that the projects at ``roots`` need.

    Keys follow from the base that the Engine has. Where no Engine answers, it has no base for an image, or an image cannot
    be planned, a record may be anybody's: then what any record speaks of is needed. Raises UnknownImage for a folder that
    is no project.
    """
    needed: set[str] = set()
    keys: set[str] | None = set()
    connection = _engine(tell)
    for root in roots:
        for name in _images(root):
            needed |= _pinned(root, name)
            found = _keys(root, name, connection, tell)
            keys = None if keys is None or found is None else keys | found
    for key in records.keys() if keys is None else keys:
        needed |= records.objects(key)
    return frozenset(needed)


def _images(root: Path) -> list[str]:
    names = list_images(root)
    if not names:
        raise UnknownImage(f"{root} has no images/*/image.yaml.", next_action="name folders of projects")
    return names


def _pinned(root: Path, name: str) -> set[str]:
    """Of every checkpoint, also where image.yaml says something else by now."""
    path = root / "images" / name / "weights.lock"
    if not path.is_file():
        return set()
    lock = parse_lock(path.read_text(encoding="utf-8"), str(path))
    return {*lock.system.digests, *(file.sha256 for each in lock.checkpoints.values() for file in each.files)}


def _keys(root: Path, name: str, connection: Connection | None, tell: Tell) -> set[str] | None:
    """The keys of every build of an image; None where they cannot be told."""
    try:
        if not (root / "images" / name / "weights.lock").is_file() and not read_spec(root, name).models:
            return set()  # nothing was built of it
        if connection is None:
            return None
        plans = list(_plans(read_project(root, name)))
    except (SpecInvalid, LockMismatch) as error:
        tell(f"cache: {name} cannot be planned, so what any record speaks of is kept ({error.message.splitlines()[0]})")
        return None
    plans += [found for plan in plans if (found := look_up(plan, (), tell)).compiled]
    bases = [(plan, _bases(plan, connection)) for plan in plans]
    if lacking := [plan.base.reference for plan, found in bases if not found]:
        tell(f"cache: the Engine has no base for {name} ({lacking[0]}), so what any record speaks of is kept")
        return None
    return {
        key
        for plan, found in bases
        for base, compression in product(found, _COMPRESSIONS)
        for key in keys_of(plan, base, compression)
    }


def _plans(project: Project) -> Iterator[Plan]:
    if project.members:
        yield from (make_plan(project, Options(target)) for target in project.spec.targets)
    locked = project.lock.checkpoints if project.lock else ()
    for target, checkpoint in product(project.spec.targets, project.spec.checkpoints):
        if checkpoint in locked:
            yield make_plan(project, Options(target, checkpoint))


def _bases(plan: Plan, connection: Connection) -> Collection[Base]:
    """The pinned one and the one made here, as far as the Engine has them."""
    reference = f"{plan.base.reference}@{plan.base.digest}"
    found = (known_base(connection, reference, choice) for choice in ("auto", "bootstrap"))
    return {base.digest: base for base in found if base}.values()


def _engine(tell: Tell) -> Connection | None:
    try:
        return find_engine()
    except EngineUnavailable as error:
        tell(f"cache: {error.message} What any record speaks of is kept")
        return None
