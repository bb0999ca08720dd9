"""``events.jsonl``: what a stage did with each component, one JSON object a line, for the builder. Standard library only."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prebake.documents.canonical import canonical_json

SCHEMA = 1
EVENTS_FILE = "events.jsonl"
MAX_EVENTS_BYTES = 4 << 20
"""A larger file is not read: a stage writes a few lines for each component."""

COMPONENT_EXPORTED = "component_exported"
COMPONENT_COMPILED = "component_compiled"
COMPONENT_NOT_COMPARED = "component_not_compared"
SESSION_CHOSEN = "session_chosen"
BLOCKS_NOT_COMPILED = "blocks_not_compiled"
ARTIFACT_KEPT = "artifact_kept"
ARTIFACT_LEFT_OUT = "artifact_left_out"


@dataclass(frozen=True)
class StageEvent:
    """``event`` is one of the names above, ``message`` the sentence for people, and ``figures`` the numbers of the sentence:
    bytes and counts as integers, seconds as floats."""

    event: str
    component: str
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.component}: {self.message}"

    def to_json(self) -> bytes:
        return canonical_json({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, line: bytes) -> StageEvent:
        """The reverse of ``to_json``. Raises ValueError for anything else."""
        document = json.loads(line)
        if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
            raise ValueError(f"schema must be {SCHEMA}")
        try:
            event = cls(**document)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not all(isinstance(text, str) for text in (event.event, event.component, event.message)):
            raise ValueError("event, component and message must be texts")
        return event


@dataclass(frozen=True)
class EventLog:
    """Appends events to ``events.jsonl`` in a stage's output ``folder``, which is made if it is missing."""

    folder: Path

    def write(self, event: StageEvent) -> None:
        """The event's sentence goes to stderr as well, where people read it."""
        print(event, file=sys.stderr)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / EVENTS_FILE).open("ab") as file:
            file.write(event.to_json())


def take_events(folder: Path) -> list[StageEvent]:
    """The events that a stage wrote into ``folder``. Their file is removed, since it is not an output of the stage. Lines that
    are not events are skipped."""
    path = folder / EVENTS_FILE
    if path.is_symlink() or not path.is_file():
        return []
    lines = path.read_bytes().splitlines() if path.stat().st_size <= MAX_EVENTS_BYTES else []
    path.unlink()
    return [event for line in lines if (event := _read_line(line)) is not None]


def _read_line(line: bytes) -> StageEvent | None:
    try:
        return StageEvent.from_json(line)
    except (ValueError, RecursionError):
        return None
