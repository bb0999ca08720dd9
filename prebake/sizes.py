"""Sizes for people."""

from __future__ import annotations


def show_bytes(count: int | None) -> str:
    """``1.4 GiB``, in the units that disks are counted in; ``?`` where it is not known."""
    if count is None:
        return "?"
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
