"""``error.json``: the error that ended a stage, as the stage hands it to the builder. Standard library only.

A program that runs in a Dockerfile leaves no file that the builder could read. It prints the same document as one line of the
build's log, under the key ``prebake_error``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prebake.documents.canonical import canonical_json
from prebake.errors import Problem, newer_schema

SCHEMA = 1
ERROR_FILE = "error.json"
LOG_KEY = "prebake_error"
MAX_ERROR_BYTES = 1 << 20
"""A larger file is not read: no stage of Prebake writes such an error."""


@dataclass(frozen=True)
class StageError:
    """``kind`` is the name of the error's class. ``problems`` are those of an ``InputProblems``, and not part of ``message``."""

    kind: str
    message: str
    next_action: str
    problems: tuple[Problem, ...] = ()

    def to_json(self) -> bytes:
        return canonical_json({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes | str) -> StageError:
        """The reverse of ``to_json``. Raises ValueError for anything else."""
        return cls._from_document(json.loads(data))

    @classmethod
    def _from_document(cls, document: object) -> StageError:
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            schema = document.get("schema") if isinstance(document, dict) else None
            raise ValueError(newer_schema(schema, SCHEMA) or f"schema must be {SCHEMA}")
        try:
            problems = tuple(Problem(**problem) for problem in document["problems"])
            error = cls(document["kind"], document["message"], document["next_action"], problems)
        except (KeyError, TypeError) as fault:
            raise ValueError(f"{type(fault).__name__}: {fault}") from None
        texts = [
            error.kind,
            error.message,
            error.next_action,
            *(text for problem in problems for text in vars(problem).values()),
        ]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("kind, message, next_action and problems must be texts")
        return error

    def save(self, folder: Path) -> None:
        """Write ``error.json`` into ``folder``, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR_FILE).write_bytes(self.to_json())

    @classmethod
    def load(cls, folder: Path) -> StageError | None:
        """The error that a stage wrote into ``folder``; None if the file is missing, damaged or larger than
        ``MAX_ERROR_BYTES``."""
        path = folder / ERROR_FILE
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_ERROR_BYTES:
                return None
            return cls.from_json(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    @classmethod
    def find_in_log(cls, lines: Sequence[str]) -> StageError | None:
        """The last error document in the lines of a build's log; None if there is none, or it is damaged."""
        line = next((line for line in reversed(lines) if line.startswith(f'{{"{LOG_KEY}":')), "")
        try:
            return cls._from_document(json.loads(line)[LOG_KEY]) if line else None
        except (ValueError, RecursionError):
            return None
