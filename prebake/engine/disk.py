"""Is there room? Asked before a build, not half way through it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from prebake.errors import NoRoom


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """``$PREBAKE_CACHE``, else ``~/.cache/prebake``."""
    return Path(environ.get("PREBAKE_CACHE") or Path.home() / ".cache" / "prebake").absolute()


def free_bytes(path: Path) -> int:
    """Bytes free to this user on the disk that ``path`` is on, or will be on."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def require_room(path: Path, needed: int, *, what: str) -> None:
    """Raises NoRoom, with both figures, where ``path`` has fewer than ``needed`` bytes free."""
    available = free_bytes(path)
    if available < needed:
        raise NoRoom(
            f"{what} needs {size_text(needed)} at {path}; {size_text(available)} are free",
            next_action="free some room there (Engine: `docker system prune`), or set PREBAKE_CACHE to another disk",
        )


def size_text(size: int) -> str:
    """``size`` in the largest unit that leaves a number of at least 1, such as ``1.5 GB`` (powers of ten)."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
