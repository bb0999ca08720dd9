"""Compare the lock with the spec; every difference is reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prebake.errors import LockMismatch, Problem
from prebake.spec.image.image import Checkpoint, ImageSpec
from prebake.spec.image.licenses import canonical_license, is_license
from prebake.spec.image.sources import (
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
from prebake.spec.lock import RELOCK, Lock, LockedCheckpoint, LockedFile

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Expected:
    """The fields of a locked file that follow from ``image.yaml``. ``revision`` and ``locator`` are None if only the source
    knows them."""

    source: str
    revision: str | None
    locator: str | None
    ship: bool


def placed(folder: str | None, file: str) -> str:
    """A source's file at its place in the checkpoint, or a member at its place in an archive."""
    return f"{folder}/{file}" if folder else file


def expect_files(checkpoint: Checkpoint) -> Mapping[str, Expected]:
    """The files that a checkpoint's lock must have, by path."""
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
        yield Problem(f"{where}: base", f"is {lock.base.reference!r}, image.yaml has {spec.base!r}")
    if lock.system.names != spec.system_packages:
        pinned, named = (", ".join(names) or "nothing" for names in (lock.system.names, spec.system_packages))
        yield Problem(f"{where}: system", f"pins {pinned}, image.yaml lists {named}")
    locked, checkpoint = lock.checkpoints.get(name), spec.checkpoints[name]
    if locked is None:
        yield Problem(f"{where}: {name}", "is a checkpoint of image.yaml that is not locked")
        return
    if _spelled(locked.license) != checkpoint.license.id:
        yield Problem(
            f"{where}: {name}", f"has the license {locked.license!r}, image.yaml has {checkpoint.license.id!r}"
        )
    expected, found = expect_files(checkpoint), {file.path: file for file in locked.files}
    for path in sorted(expected.keys() - found.keys()):
        yield Problem(f"{where}: {name}: {path}", "is missing")
    for path in sorted(found.keys() - expected.keys()):
        yield Problem(f"{where}: {name}: {path}", "is not in image.yaml")
    for path in sorted(found.keys() & expected.keys()):
        yield from _file_differences(expected[path], found[path], f"{where}: {name}: {path}")
    for path, sha256 in ((path, sha256) for layer in locked.layers for path, sha256 in layer.files.items()):
        if path not in found or found[path].sha256 != sha256:
            yield Problem(f"{where}: {name}: layers", f"a layer was computed from another {path} ({sha256})")


def _spelled(license: str) -> str:
    """The identifier in SPDX's spelling, as in the spec. A lock keeps the spelling that it was written with."""
    return canonical_license(license) if is_license(license) else license


def _file_differences(expected: Expected, found: LockedFile, where: str) -> Iterator[Problem]:
    for field in ("source", "revision", "locator", "ship"):
        says, has = getattr(expected, field), getattr(found, field)
        if says is not None and says != has:
            yield Problem(where, f"has {field} {has!r}, image.yaml has {says!r}")
