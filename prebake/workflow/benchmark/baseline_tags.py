"""The Engine's tags of baselines: a gate keeps those that were used last, and removes the others.

The cache has an empty file for each tag, below ``baselines``. The file's time is that of the last gate with this baseline, and
every gate holds the lock of its baseline's file. Tags without a file were made with another cache, and stay.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.images.tags import list_tags, remove_tag
from prebake.errors import EngineError
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock, log_wait
from prebake.io.log import Log

BASELINES = "prebake/baseline"
"""The repository of the Engine's tags for baselines."""
MOST_KEPT = 10
"""So many baselines stay in an Engine, for the next gates with them."""


class _InUse(Exception):
    """Another gate holds the lock."""


@contextmanager
def keep_baselines(connection: Connection, log: Log) -> Iterator[Callable[[str], None]]:
    """During the block no other gate removes a baseline of this Engine, and after ``keep(tag)``, which the block yields, none
    removes that one. At the end, all but the ``MOST_KEPT`` baselines that were used last are removed."""
    folder = _records_folder(connection)
    try:
        with ExitStack() as held, ExitStack() as all_held:
            all_held.enter_context(hold_lock(_all(folder), log_wait(log, "it removes old baselines"), shared=True))

            def keep(tag: str) -> None:
                record = folder / tag.removeprefix(f"{BASELINES}:")
                held.enter_context(hold_lock(record, shared=True))
                os.utime(record)
                all_held.close()

            yield keep
    finally:
        remove_old_baselines(connection, log)


def remove_old_baselines(connection: Connection, log: Log) -> None:
    """Remove all but the ``MOST_KEPT`` baselines that were used last. Those of running gates stay, and none is removed while
    another gate gets its baseline."""
    folder = _records_folder(connection)
    with suppress(_InUse), hold_lock(_all(folder), _give_up):
        try:
            known = list_tags(connection, BASELINES)
        except EngineError as error:
            log(f"baseline: old ones are kept: {error.message}")
            return
        kept = 0
        for record in sorted(_list_records(folder), key=lambda path: path.stat().st_mtime_ns, reverse=True):
            tag = f"{BASELINES}:{record.name}"
            kept += tag in known
            if tag not in known or kept > MOST_KEPT:
                _remove(connection, tag, record, log)


def _remove(connection: Connection, tag: str, record: Path, log: Log) -> None:
    with suppress(_InUse), hold_lock(record, _give_up):
        try:
            remove_tag(connection, tag)
        except EngineError as error:  # such as a container of the user's
            log(f"baseline: {tag} is kept: {error.message}")
            return
        record.unlink()


def _list_records(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path != _all(folder)]


def _records_folder(connection: Connection) -> Path:
    return cache_folder() / "baselines" / hashlib.sha256(connection.host.encode()).hexdigest()[:16]


def _all(folder: Path) -> Path:
    """The lock of all records: shared by gates that get a baseline. No tag begins with a dot."""
    return folder / ".lock"


def _give_up() -> None:
    raise _InUse
