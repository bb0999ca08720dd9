"""Advisory file locks between processes (flock(2)). The kernel releases a lock when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prebake.errors import Busy
from prebake.io.log import Log

_POLL_SECONDS = 0.1  # flock cannot wait and listen for "stop" at once, so the waiting is cut into steps


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file unless another process holds its lock. A ``shared`` lock has any number of holders.

    Raises OSError if the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_silently() -> None:
    """The ``waiting`` of callers that report nothing while they wait."""


def log_wait(log: Log, what: str) -> Callable[[], None]:
    """A ``waiting`` that logs once what the process waits for."""
    lines = iter([f"waiting for another process: {what}"])

    def waiting() -> None:
        for line in lines:
            log(line)

    return waiting


@contextmanager
def hold_lock(path: Path, waiting: Callable[[], None] = wait_silently, *, shared: bool = False) -> Iterator[int]:
    """Hold the lock of the file ``path``, which is created if it is missing; yields its descriptor.

    ``waiting`` is called every 0.1 s as long as another process holds the lock, and may raise to give up. The file stays
    afterwards: if its holder removed it, two waiting processes could hold the locks of two files of that name. If somebody
    removes it all the same, the lock of the file that has the name now is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not try_lock(descriptor, shared=shared):
                waiting()
                time.sleep(_POLL_SECONDS)
            if os.fstat(descriptor).st_nlink:
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextmanager
def hold_folder_lock(folder: Path, waiting: Callable[[], None] = wait_silently) -> Iterator[None]:
    """Hold the lock of a folder itself, so that no lock file is added to it. On a file system without locks nothing is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            while not try_lock(descriptor):
                waiting()
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_build_folder(folder: Path, name: str) -> Iterator[None]:
    """Hold the build folder of the image ``name``. Raises Busy if another build holds it."""

    def refuse() -> None:
        raise Busy(
            f"Another build of {name} is running in this folder.",
            next_action="wait until it ends, or build in another clone: both share the store and the Engine's cache",
        )

    with hold_lock(folder / ".lock", refuse):
        yield
