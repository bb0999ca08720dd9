"""The cache folder, and room on disks: asked for before bytes move, named when it runs out all the same."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prebake.errors import NoRoom, PathRefused
from prebake.sizes import show_bytes

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FREE_SOME = "free some space (the Engine's: `docker system prune`), or set PREBAKE_CACHE to a folder on a larger disk"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """``$PREBAKE_CACHE``, else ``$XDG_CACHE_HOME/prebake``, else ``~/.cache/prebake``. A relative XDG_CACHE_HOME counts for
    nothing (XDG Base Directory Specification, "Basics")."""
    if named := environ.get("PREBAKE_CACHE"):
        return Path(named).expanduser().absolute()
    shared = Path(environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "prebake"


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user may still write on the file system that ``path`` is on, or will be on."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    facts = os.statvfs(place)
    return facts.f_bavail * facts.f_frsize


def require_room(path: Path, needed: int, *, what: str, free: Callable[[Path], int] = free_bytes) -> None:
    """Raises NoRoom, with both figures, where ``path`` has fewer than ``needed`` bytes free."""
    available = free(path)
    if available < needed:
        raise NoRoom(
            f"Not enough room under {path} for {what}: {show_bytes(needed)} ({needed} bytes) are needed, "
            f"{show_bytes(available)} ({available} bytes) are free.",
            next_action=_FREE_SOME,
        )


@contextmanager
def name_full_disk(folder: Path) -> Iterator[None]:
    """Turn the kernel's "disk full" into NoRoom: another program may have taken the room after it was checked."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise disk_full(folder) from error


def path_refused(error: OSError) -> PathRefused | None:
    """The kernel's "read-only" and "permission denied", with the path that they are about; None for anything else."""
    if error.errno not in _REFUSED or error.filename is None:
        return None
    return PathRefused(
        f"{error.filename}: {os.strerror(error.errno)}.",
        next_action="take a place that this user may write to; PREBAKE_CACHE names that of the store",
    )


def disk_full(folder: Path) -> NoRoom:
    """The error of a disk that became full while something was written to ``folder``."""
    return NoRoom(
        f"The disk under {folder} became full while writing: {show_bytes(free_bytes(folder))} are free.",
        next_action=f"{_FREE_SOME}; downloads go on from here",
    )
