"""Resolving a checkpoint to pinned files, and holding ``image.yaml`` and ``weights.lock`` against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prebake.checkpoints.fetch import bring
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Sources, find_source, placed
from prebake.checkpoints.store import Store, Stored
from prebake.errors import LockMismatch, Problem
from prebake.spec.image import Checkpoint, FromHttp, FromHub, FromLocal, FromPypi, FromSample, ImageSpec, Source
from prebake.spec.lock import RELOCK, Lock, LockedCheckpoint, LockedFile

_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(checkpoint: Checkpoint, store: Store, sources: Sources, progress: Progress) -> LockedCheckpoint:
    """Pin every file of a checkpoint; those published without a sha256 are downloaded into the store for it.

    Raises SourceError, NoNetwork, NoRoom or Interrupted.
    """
    remote = [(file, spec) for spec in checkpoint.sources for file in find_source(sources, spec.kind).resolve(spec)]
    unknown = [file for file, _ in remote if file.sha256 is None or file.size is None]
    store.require_room(sum(file.size or 0 for file in unknown))
    stored = bring(unknown, store, sources, progress)
    licence = checkpoint.licence.id
    files = tuple(_locked(file, stored.get(file), licence, file.path in _shipped(spec)) for file, spec in remote)
    return LockedCheckpoint(licence, tuple(sorted(files, key=lambda file: file.path)))


def check_lock(spec: ImageSpec, lock: Lock, where: str) -> None:
    """Raise LockMismatch with every difference between ``image.yaml`` and its lock. Looks at no source."""
    problems = list(_differences(spec, lock, where))
    if problems:
        raise LockMismatch(f"image.yaml and {where} differ:", problems, next_action=RELOCK.format(name=spec.name))


@dataclass(frozen=True)
class Expected:
    """What ``image.yaml`` alone says of a locked file. ``revision`` is None where it says none."""

    source: str
    revision: str | None
    locator: str
    ship: bool


def expect_files(checkpoint: Checkpoint) -> Mapping[str, Expected]:
    """The files that a checkpoint's lock has to hold, by path."""
    return {
        placed(source.to, file): _expected(source, file, file in source.ship)
        for source in checkpoint.sources
        for file in source.files
    }


def _shipped(spec: Source) -> set[str]:
    return {placed(spec.to, file) for file in spec.ship}


def _locked(file: RemoteFile, stored: Stored | None, licence: str, ship: bool) -> LockedFile:
    size = stored.size if stored is not None else file.size
    sha256 = stored.sha256 if stored is not None else file.sha256
    if size is None or sha256 is None:
        raise AssertionError(f"{file.path} was resolved to neither a checksum nor bytes")
    return LockedFile(file.path, file.source, file.revision, file.locator, size, sha256, licence, ship)


def _expected(spec: Source, file: str, ship: bool) -> Expected:
    match spec:
        case FromSample():
            return Expected("sample", str(spec.seed), file, ship)
        case FromHub() if _COMMIT.fullmatch(spec.revision):
            return Expected(f"hub:{spec.repository}", spec.revision, file, ship)
        case FromHub():
            return Expected(f"hub:{spec.repository}@{spec.revision}", None, file, ship)
        case FromHttp():
            return Expected(f"http:{spec.url}", "", file if spec.archive else "", ship)
        case FromLocal():
            return Expected(f"local:{spec.folder}", "", file, ship)
        case FromPypi():
            return Expected(f"pypi:{spec.package}", spec.version, placed(spec.root, file), ship)


def _differences(spec: ImageSpec, lock: Lock, where: str) -> Iterator[Problem]:
    if lock.base.reference != spec.base:
        yield Problem(f"{where}: base", f"is {lock.base.reference!r}, image.yaml says {spec.base!r}")
    for name in sorted(set(lock.checkpoints) - set(spec.checkpoints)):
        yield Problem(f"{where}: {name}", "is a checkpoint that image.yaml does not have")
    for name, checkpoint in spec.checkpoints.items():
        if name not in lock.checkpoints:
            yield Problem(f"{where}: {name}", "is a checkpoint of image.yaml that is not locked")
        else:
            yield from _checkpoint_differences(checkpoint, lock.checkpoints[name], f"{where}: {name}")


def _checkpoint_differences(checkpoint: Checkpoint, locked: LockedCheckpoint, where: str) -> Iterator[Problem]:
    if locked.licence != checkpoint.licence.id:
        yield Problem(f"{where}: licence", f"is {locked.licence!r}, image.yaml says {checkpoint.licence.id!r}")
    expected = expect_files(checkpoint)
    found = {file.path: file for file in locked.files}
    for path in sorted(set(expected) - set(found)):
        yield Problem(f"{where}: {path}", "is missing")
    for path in sorted(set(found) - set(expected)):
        yield Problem(f"{where}: {path}", "is not in image.yaml")
    for path in sorted(set(found) & set(expected)):
        yield from _file_differences(expected[path], found[path], f"{where}: {path}")


def _file_differences(expected: Expected, found: LockedFile, where: str) -> Iterator[Problem]:
    for field in ("source", "revision", "locator", "ship"):
        says, has = getattr(expected, field), getattr(found, field)
        if says is not None and says != has:
            yield Problem(where, f"has {field} {has!r}, image.yaml says {says!r}")
