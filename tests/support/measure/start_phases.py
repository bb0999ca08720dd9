"""The phases of a start, and their layout."""

from __future__ import annotations

from typing import Any

from prebake.measure.report.waterfall import lay_out


def phase(name: str, start: float, end: float | None) -> dict[str, Any]:
    return {"name": name, "start": start, "seconds": None if end is None else round(end - start, 4)}


PHASES = [
    phase("launch", 0.0, 0.1),
    phase("live", 0.0, 0.22),
    phase("bind", 0.1, 0.1011),
    phase("import asyncio", 0.105, 0.2),
    phase("read ahead libraries", 0.107, 0.112),
    phase("manifest", 0.11, 0.115),
    phase("import numpy", 0.12, 0.2),
    phase("import h11", 0.2, 0.205),
    phase("verify", 0.2, 0.26),
    phase("import model", 0.2, 0.3),
    phase("open net", 0.21, 0.29),
    phase("warm-up", 0.2999, 0.5),  # rounded: it begins after the import
    phase("verify what is not used", 0.45, None),
    phase("bucket net: 8", 0.7, 0.8),  # after ready
]
START = lay_out(PHASES, 0.61, 0.1)
