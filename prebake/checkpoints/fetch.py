"""All files of a checkpoint into the store: several at a time, each verified, stopped as one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from prebake.checkpoints.delivery import delivery_key
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, Source, Sources, as_remote, find_source
from prebake.checkpoints.stopping import Stoppable, interrupted
from prebake.checkpoints.store import Store, Stored
from prebake.spec.lock import LockedFile

WORKERS = 4
_FAREWELL = 2.0  # seconds that stopped workers get to close their files

Unit = tuple[Source, Sequence[RemoteFile]]
Outcome = tuple[Sequence[RemoteFile], Sequence[Stored] | BaseException]


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
    stored: dict[RemoteFile, Stored] = {}
    try:
        with closing(_carry_out(_units(files, sources), store, progress, workers)) as outcomes:
            for unit, outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                stored.update(zip(unit, outcome, strict=True))
    except KeyboardInterrupt as interrupt:
        raise interrupted() from interrupt
    finally:
        progress.close()
    return stored


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


def _carry_out(units: Sequence[Unit], store: Store, progress: Progress, workers: int) -> Generator[Outcome, None, None]:
    """Outcomes as they come. Daemon threads: one that hangs in a read must not keep a stopped program alive."""
    todo: queue.SimpleQueue[Unit] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    for unit in units:
        todo.put(unit)
    stop = threading.Event()
    work = (todo, done, store, Stoppable(progress, stop))
    threads = [threading.Thread(target=_work, args=work, daemon=True) for _ in units[:workers]]
    try:
        for thread in threads:
            thread.start()
        for _ in units:
            yield done.get()
    finally:
        stop.set()
        deadline = time.monotonic() + _FAREWELL
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))


def _work(todo: queue.SimpleQueue[Unit], done: queue.SimpleQueue[Outcome], store: Store, progress: Progress) -> None:
    while True:
        try:
            source, files = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((files, source.fetch(files, store, progress)))
        except BaseException as error:  # handed to the caller's thread, which raises it
            done.put((files, error))
            return
