"""Downloads all files of a checkpoint into the store: several at a time, each verified, all stopped together."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain

from prebake.checkpoints.download.cancellation import CancellableProgress, make_interrupted
from prebake.checkpoints.download.download import download_key
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Source, Sources, as_remote, find_source
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.io.thread_pool import ThreadPool
from prebake.spec.lock import LockedFile

WORKERS = 4
_SHUTDOWN_SECONDS = 2.0  # for cancelled workers to close their files

Unit = tuple[Source, Sequence[RemoteFile]]


def fetch(
    files: Iterable[LockedFile], store: Store, sources: Sources, progress: Progress, *, workers: int = WORKERS
) -> None:
    """Download every file that the store lacks.

    Raises NoRoom before the first byte if they do not fit, NoNetwork, SourceError, ChecksumMismatch (the wrong file is not
    kept) or Interrupted. Bytes that arrived until then are kept, and the next call continues after them.
    """
    store.sweep()
    wanted = find_missing(files, store)
    store.require_room(sum(file.size for file in wanted) - sum(_arrived(file, store) for file in wanted))
    fetch_remote([as_remote(file) for file in wanted], store, sources, progress, workers=workers)


def find_missing(files: Iterable[LockedFile], store: Store) -> list[LockedFile]:
    """The files that the store lacks, each content once."""
    absent = {file.sha256: file for file in files if store.get(file.sha256, file.size) is None}
    return list(absent.values())


def fetch_remote(
    files: Sequence[RemoteFile], store: Store, sources: Sources, progress: Progress, *, workers: int = WORKERS
) -> Mapping[RemoteFile, StoredObject]:
    """As ``fetch``, for files whose sha256 may be unknown. Free disk space is not checked first."""
    progress.expect({file.path: file.size for file in files if file.size is not None})
    stop = threading.Event()
    cancellable = CancellableProgress(progress, stop)
    try:
        jobs = [partial(_fetch, unit, store, cancellable) for unit in _units(files, sources)]
        stored = ThreadPool("fetch", workers, _SHUTDOWN_SECONDS).run(jobs, stop)
    except KeyboardInterrupt as interrupt:
        raise make_interrupted() from interrupt
    finally:
        progress.close()
    return dict(chain.from_iterable(stored))


def _arrived(file: LockedFile, store: Store) -> int:
    """Bytes of a partial download, which need no more disk space."""
    path = store.partial_path(download_key(as_remote(file)))
    return min(file.size, path.stat().st_size) if path.is_file() else 0


def _units(files: Sequence[RemoteFile], sources: Sources) -> list[Unit]:
    """Files grouped by download, the largest group first, so that no large one runs alone at the end."""
    units: dict[str, Unit] = {}
    for file in files:
        source = find_source(sources, file.kind)
        _, members = units.get(source.unit(file), (source, ()))
        units[source.unit(file)] = (source, (*members, file))
    return sorted(units.values(), key=lambda unit: -sum(file.size or 0 for file in unit[1]))


def _fetch(unit: Unit, store: Store, progress: Progress) -> list[tuple[RemoteFile, StoredObject]]:
    source, files = unit
    return list(zip(files, source.fetch(files, store, progress), strict=True))
