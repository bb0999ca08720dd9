"""Resolving a checkpoint to pinned files."""

from __future__ import annotations

from prebake.checkpoints.fetch import fetch_remote
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Sources, find_source, target_path
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.spec.image.image import Checkpoint
from prebake.spec.image.sources import Source
from prebake.spec.lock import LockedCheckpoint, LockedFile


def resolve(checkpoint: Checkpoint, store: Store, sources: Sources, progress: Progress) -> LockedCheckpoint:
    """Pin every file of a checkpoint; those published without a sha256 are downloaded into the store for it.

    Raises SourceError, NoNetwork, NoRoom or Interrupted.
    """
    remote = [(file, spec) for spec in checkpoint.sources for file in find_source(sources, spec.kind).resolve(spec)]
    unknown = [file for file, _ in remote if file.sha256 is None or file.size is None]
    store.require_room(sum(file.size or 0 for file in unknown))
    stored = fetch_remote(unknown, store, sources, progress)
    license = checkpoint.license.id
    files = tuple(_locked(file, stored.get(file), license, file.path in _shipped(spec)) for file, spec in remote)
    return LockedCheckpoint(license, tuple(sorted(files, key=lambda file: file.path)))


def _shipped(spec: Source) -> set[str]:
    return {target_path(spec.to, file) for file in spec.ship}


def _locked(file: RemoteFile, stored: StoredObject | None, license: str, ship: bool) -> LockedFile:
    size = stored.size if stored is not None else file.size
    sha256 = stored.sha256 if stored is not None else file.sha256
    if size is None or sha256 is None:
        raise AssertionError(f"{file.path} was resolved to neither a checksum nor bytes")
    return LockedFile(file.path, file.source, file.revision, file.locator, size, sha256, license, ship)
