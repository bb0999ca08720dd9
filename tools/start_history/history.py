"""The history: each weekly run with the medians of every image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEMA = 1
FIGURES = ("ttfi_seconds", "ready_seconds", "naive_ttfi_seconds", "floor_seconds", "ratio")
"""What is kept of a result: medians in seconds, and naive over Prebake."""
_MOST_RUNS = 520
"""Ten years."""


@dataclass(frozen=True)
class Run:
    """``created`` in UTC, ``revision`` the commit; ``images`` are the FIGURES of each image."""

    created: str
    revision: str
    images: Mapping[str, Mapping[str, float]]


class HistoryInvalid(Exception):
    """The history has a schema that this version does not know; it is not overwritten."""


def read_results(folder: Path) -> dict[str, dict[str, float]]:
    """The figures of every ``prebake bench NAME`` below a folder, by NAME. Results of a gate have no naive image."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "naive_ttfi_seconds" in document:
            found[path.stem] = {name: float(document[name]) for name in FIGURES if name in document}
    return found


def read_history(path: Path) -> list[Run]:
    """The runs, the oldest first; none if there is no file yet."""
    if not path.is_file():
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise HistoryInvalid(f"{path} has schema {document.get('schema')!r}; this version reads {SCHEMA}")
    return [Run(**run) for run in document["runs"]]


def add_run(runs: Sequence[Run], run: Run) -> list[Run]:
    return [*runs, run][-_MOST_RUNS:]


def write_history(path: Path, runs: Sequence[Run]) -> None:
    document = {"schema": SCHEMA, "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
