"""Disk space: asked for before bytes move, and named when it runs out all the same."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.errors import NoRoom

_FULL = (errno.ENOSPC, errno.EDQUOT)


def show_bytes(count: int) -> str:
    """A count of bytes for people: ``1.4 GiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write on the folder's file system."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def no_room(folder: Path, needed: int, free: int) -> NoRoom:
    """The error for ``needed`` more bytes under ``folder`` where ``free`` are left."""
    return NoRoom(
        f"Not enough room under {folder}: {show_bytes(needed)} ({needed} bytes) are needed, "
        f"{show_bytes(free)} ({free} bytes) are free.",
        next_action="free some space, or set PREBAKE_CACHE to a folder on a larger disk",
    )


@contextmanager
def name_full_disk(folder: Path) -> Iterator[None]:
    """Turn the kernel's "disk full" into NoRoom: another program may have taken the room after it was checked."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom(
            f"The disk under {folder} became full while writing: {show_bytes(free_bytes(folder))} are free.",
            next_action="free some space, or set PREBAKE_CACHE to a folder on a larger disk; downloads go on from here",
        ) from error
