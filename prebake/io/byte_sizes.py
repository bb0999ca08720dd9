"""Sizes in bytes and times in seconds, as text for people."""

from __future__ import annotations

import re

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(text: str) -> int:
    """The bytes of ``1GB`` or ``512MiB``. Raises ValueError unless the text is a whole number of such a unit."""
    match = re.fullmatch(r"([1-9]\d*) ?([A-Za-z]+)", text)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is not a size such as 1GB or 512MiB")
    return int(match[1]) * _UNITS[match[2].upper()]


def format_bytes(count: int | None) -> str:
    """Such as ``1.4 GiB``; ``?`` if ``count`` is None."""
    if count is None:
        return "?"
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_seconds(seconds: float) -> str:
    """Such as ``40 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
