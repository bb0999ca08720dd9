"""One at a time, across processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.process import Narrator, silent


@contextmanager
def locked(path: Path, *, what: str, say: Narrator = silent) -> Iterator[None]:
    """Hold ``path`` alone; wait for whoever holds it, and say so. The file stays: removing it would race."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process: {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
