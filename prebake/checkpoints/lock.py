"""Resolving a checkpoint to pinned files."""

from __future__ import annotations

from prebake.checkpoints.fetch import bring
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Sources, find_source, placed
from prebake.checkpoints.store import Store, Stored
from prebake.spec.image import Checkpoint
from prebake.spec.lock import LockedCheckpoint, LockedFile
from prebake.spec.sources import Source


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


def _shipped(spec: Source) -> set[str]:
    return {placed(spec.to, file) for file in spec.ship}


def _locked(file: RemoteFile, stored: Stored | None, licence: str, ship: bool) -> LockedFile:
    size = stored.size if stored is not None else file.size
    sha256 = stored.sha256 if stored is not None else file.sha256
    if size is None or sha256 is None:
        raise AssertionError(f"{file.path} was resolved to neither a checksum nor bytes")
    return LockedFile(file.path, file.source, file.revision, file.locator, size, sha256, licence, ship)
