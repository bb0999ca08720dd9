"""All files of a checkpoint into the store: several at a time, each verified, stopped as one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from prebake.checkpoints.delivery import delivery_key
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Source, Sources, as_remote, find_source
from prebake.checkpoints.stopping import Stoppable, interrupted
from prebake.checkpoints.store import Store, Stored
from prebake.crew import Crew
from prebake.spec.lock import LockedFile

WORKERS = 4
_FAREWELL = 2.0  # seconds that stopped workers get to close their files

Unit = tuple[Source, Sequence[RemoteFile]]


def fetch(
    files: Iterable[LockedFile], store: Store, sources: Sources, progress: Progress, *, workers: int = WORKERS
) -> None:
    """Bring every file that is missing into the store.

    Raises NoRoom before the first byte where they do not fit, NoNetwork, SourceError, ChecksumMismatch (nothing of the
    wrong file is kept) or Interrupted; whatever arrived until then is kept, and the next call goes on from there.
    """
    store.sweep()
    wanted = missing(files, store)
    store.require_room(sum(file.size for file in wanted) - sum(_arrived(file, store) for file in wanted))
    bring([as_remote(file) for file in wanted], store, sources, progress, workers=workers)


def missing(files: Iterable[LockedFile], store: Store) -> list[LockedFile]:
    """The files that the store lacks, each content once."""
    absent = {file.sha256: file for file in files if store.get(file.sha256, file.size) is None}
    return list(absent.values())


def lay_out(files: Iterable[LockedFile], store: Store, folder: Path) -> None:
    """Put fetched files at their paths under ``folder``, by hard links where the file system allows them."""
    for file in files:
        store.link_into(folder, file.path, file.sha256)


def bring(
    files: Sequence[RemoteFile], store: Store, sources: Sources, progress: Progress, *, workers: int = WORKERS
) -> Mapping[RemoteFile, Stored]:
    """What ``fetch`` does, for files whose sha256 need not be known yet; the room is not looked at beforehand."""
    progress.expect({file.path: file.size for file in files if file.size is not None})
    stop = threading.Event()
    ours = Stoppable(progress, stop)
    try:
        jobs = [partial(_fetch, unit, store, ours) for unit in _units(files, sources)]
        stored = Crew("fetch", workers, _FAREWELL).carry_out(jobs, stop)
    except KeyboardInterrupt as interrupt:
        raise interrupted() from interrupt
    finally:
        progress.close()
    return dict(chain.from_iterable(stored))


def _arrived(file: LockedFile, store: Store) -> int:
    """Bytes of an unfinished download that need no more room."""
    path = store.partial_path(delivery_key(as_remote(file)))
    return min(file.size, path.stat().st_size) if path.is_file() else 0


def _units(files: Sequence[RemoteFile], sources: Sources) -> list[Unit]:
    """Grouped by what is fetched in one go, the largest first: then no large one is left alone at the end."""
    units: dict[str, Unit] = {}
    for file in files:
        source = find_source(sources, file.kind)
        _, members = units.get(source.unit(file), (source, ()))
        units[source.unit(file)] = (source, (*members, file))
    return sorted(units.values(), key=lambda unit: -sum(file.size or 0 for file in unit[1]))


def _fetch(unit: Unit, store: Store, progress: Progress) -> list[tuple[RemoteFile, Stored]]:
    source, files = unit
    return list(zip(files, source.fetch(files, store, progress), strict=True))
