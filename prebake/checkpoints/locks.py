"""One process at a time for one object, or several that only use it: advisory locks, which the kernel lets go when their
holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.1  # seconds: flock has no "wait until held or told to stop", so the waiting is cut into steps


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file if nobody has it; ``shared``: or if others share it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def hold(path: Path, waiting: Callable[[], None], *, shared: bool = False) -> Iterator[None]:
    """Hold the lock at ``path``; ``waiting`` is called while another has it, and may raise to give up.

    The file stays behind, empty: removing it would let a third process lock another file of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not try_lock(descriptor, shared=shared):
            waiting()
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)
