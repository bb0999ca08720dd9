"""Does the lock pin just what the spec names? Every difference at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prebake.errors import LockMismatch, Problem
from prebake.spec.image import Checkpoint, ImageSpec
from prebake.spec.licences import canonical_licence, is_licence
from prebake.spec.lock import RELOCK, Lock, LockedCheckpoint, LockedFile
from prebake.spec.sources import (
    FromGs,
    FromHttp,
    FromHub,
    FromLocal,
    FromModelScope,
    FromOci,
    FromPypi,
    FromS3,
    FromSample,
    Source,
)

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Expected:
    """What ``image.yaml`` alone says of a locked file. ``revision`` and ``locator`` are None where only the source knows."""

    source: str
    revision: str | None
    locator: str | None
    ship: bool


def placed(folder: str | None, file: str) -> str:
    """A source's file at its place in the checkpoint, or a member at its place in an archive."""
    return f"{folder}/{file}" if folder else file


def expect_files(checkpoint: Checkpoint) -> Mapping[str, Expected]:
    """The files that a checkpoint's lock has to hold, by path."""
    return {
        placed(source.to, file): _expected(source, file, file in source.ship)
        for source in checkpoint.sources
        for file in source.files
    }


def pinned_checkpoint(spec: ImageSpec, lock: Lock, name: str) -> LockedCheckpoint:
    """The lock's entry for a checkpoint of the spec. Raises LockMismatch naming every difference."""
    where = f"images/{spec.name}/weights.lock"
    if name not in spec.checkpoints:
        problem = Problem(f"images/{spec.name}/image.yaml", f"has no checkpoint {name!r}")
        known = ", ".join(sorted(spec.checkpoints))
        raise LockMismatch("No such checkpoint:", [problem], next_action=f"choose one of: {known}")
    problems = list(_differences(spec, lock, name, where))
    if problems:
        action = f"{RELOCK.format(name=spec.name)} (`--checkpoint {name}` pins this one alone)"
        raise LockMismatch("The lock and image.yaml disagree:", problems, next_action=action)
    return lock.checkpoints[name]


def _expected(spec: Source, file: str, ship: bool) -> Expected:
    match spec:
        case FromSample():
            return Expected("sample", spec.revision, file, ship)
        case FromHub() | FromModelScope() if _COMMIT.fullmatch(spec.revision):
            return Expected(f"{spec.kind}:{spec.repository}", spec.revision, file, ship)
        case FromHub() | FromModelScope():
            return Expected(f"{spec.kind}:{spec.repository}@{spec.revision}", None, file, ship)
        case FromHttp():
            return Expected(f"http:{spec.url}", "", file if spec.archive else "", ship)
        case FromLocal():
            return Expected(f"local:{spec.folder}", "", file, ship)
        case FromPypi():
            return Expected(f"pypi:{spec.package}", spec.version, placed(spec.root, file), ship)
        case FromOci():
            digest = spec.reference.rpartition("@")[2] if "@" in spec.reference else None
            return Expected(f"oci:{spec.reference}", digest, None, ship)
        case FromS3() | FromGs():
            return Expected(f"{spec.kind}:{spec.url}", None, file, ship)


def _differences(spec: ImageSpec, lock: Lock, name: str, where: str) -> Iterator[Problem]:
    if lock.base.reference != spec.base:
        yield Problem(f"{where}: base", f"is {lock.base.reference!r}, image.yaml says {spec.base!r}")
    if lock.system.names != spec.system:
        pinned, named = (", ".join(names) or "nothing" for names in (lock.system.names, spec.system))
        yield Problem(f"{where}: system", f"pins {pinned}, image.yaml names {named}")
    locked, checkpoint = lock.checkpoints.get(name), spec.checkpoints[name]
    if locked is None:
        yield Problem(f"{where}: {name}", "is a checkpoint of image.yaml that is not locked")
        return
    if _spelled(locked.licence) != checkpoint.licence.id:
        yield Problem(f"{where}: {name}", f"is under {locked.licence!r}, image.yaml says {checkpoint.licence.id!r}")
    expected, found = expect_files(checkpoint), {file.path: file for file in locked.files}
    for path in sorted(expected.keys() - found.keys()):
        yield Problem(f"{where}: {name}: {path}", "is missing")
    for path in sorted(found.keys() - expected.keys()):
        yield Problem(f"{where}: {name}: {path}", "is not in image.yaml")
    for path in sorted(found.keys() & expected.keys()):
        yield from _file_differences(expected[path], found[path], f"{where}: {name}: {path}")
    for path, sha256 in ((path, sha256) for layer in locked.layers for path, sha256 in layer.files.items()):
        if path not in found or found[path].sha256 != sha256:
            yield Problem(f"{where}: {name}: layers", f"one was computed of another {path} ({sha256})")


def _spelled(licence: str) -> str:
    """In SPDX's spelling, in which the spec has it; a lock keeps the one that it was written with."""
    return canonical_licence(licence) if is_licence(licence) else licence


def _file_differences(expected: Expected, found: LockedFile, where: str) -> Iterator[Problem]:
    for field in ("source", "revision", "locator", "ship"):
        says, has = getattr(expected, field), getattr(found, field)
        if says is not None and says != has:
            yield Problem(where, f"has {field} {has!r}, image.yaml says {says!r}")
