"""Free space on disks: it is checked before a transfer, and a full or read-only disk becomes an error that says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.errors import NoRoom, PathRefused
from prebake.io.byte_sizes import format_bytes

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FREE_SPACE = "free some space (the Engine's: `docker system prune`), or set PREBAKE_CACHE to a folder on a larger disk"


def free_bytes(path: Path) -> int:
    """Bytes that a user without root rights may still write on the file system of ``path``, which need not exist."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    statistics = os.statvfs(folder)
    return statistics.f_bavail * statistics.f_frsize


def require_room(path: Path, needed: int, *, what: str, free: Callable[[Path], int] = free_bytes) -> None:
    """Raises NoRoom, with both figures, if ``path`` has fewer than ``needed`` free bytes. ``what`` is the purpose, in words."""
    available = free(path)
    if available < needed:
        raise NoRoom(
            f"Not enough space under {path} for {what}: {format_bytes(needed)} ({needed} bytes) are needed, "
            f"{format_bytes(available)} ({available} bytes) are free.",
            next_action=_FREE_SPACE,
        )


@contextmanager
def translate_full_disk(folder: Path) -> Iterator[None]:
    """Raise NoRoom for the kernel's "disk full": another program may have used the space after it was checked."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise full_disk_error(folder) from error


def path_error(error: OSError) -> PathRefused | None:
    """PathRefused for the kernel's "read-only" and "permission denied", with the path; None for any other error."""
    if error.errno not in _DENIED or error.filename is None:
        return None
    return PathRefused(
        f"{error.filename}: {os.strerror(error.errno)}.",
        next_action="use a path that this user may write to; PREBAKE_CACHE sets the store's",
    )


def full_disk_error(folder: Path) -> NoRoom:
    """The error of a disk that became full while something was written to ``folder``."""
    return NoRoom(
        f"The disk under {folder} became full while writing: {format_bytes(free_bytes(folder))} are free.",
        next_action=f"{_FREE_SPACE}; downloads continue where they stopped",
    )
