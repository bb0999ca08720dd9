"""Files that get their names only when they are whole, so that neither kill -9 nor a full disk leaves half a one."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PREFIX = ".prebake-oci-"


@contextmanager
def new_file(target: Path, folder: Path | None = None) -> Iterator[IO[bytes]]:
    """A file that is brought to the disk and becomes ``target`` where the block ends well, and is gone otherwise.

    It is written in ``folder``, on the same file system, by default the target's.
    """
    path, file = _create(folder or target.parent)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder: unfinished files whose writer no longer holds them."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, PermissionError, BlockingIOError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(folder: Path) -> tuple[Path, IO[bytes]]:
    """A file held against ``sweep``, which may take one away between its creation and its hold: then another."""
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}"
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()
