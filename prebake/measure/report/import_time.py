"""The import time of a server: the time during which either of its processes was importing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def import_seconds(startup: Mapping[str, Any]) -> float:
    """Seconds of the phases of ``/startup`` that are named ``import …``; phases at the same time count once."""
    spans = sorted(
        (phase["start"], phase["start"] + phase["seconds"])
        for phase in startup.get("phases", [])
        if phase["name"].startswith("import ") and phase["seconds"] is not None
    )
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
