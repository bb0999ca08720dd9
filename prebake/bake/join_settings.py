"""What the plan tells the join stage: which models an image has, and where each of them lies. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from prebake.bake.documents import canonical_json
from prebake.bake.errors import SettingsInvalid
from prebake.errors import Problem, newer_schema

SCHEMA = 1
MEMBERS = "members"
"""The folder under /models with what each of several models has besides weights and graphs."""


def place_in(path: str, places: Mapping[str, str], home: str) -> str:
    """Where in an image of several models lies what one of them knows by ``path``: ``places`` says it of whole paths and of first
    folders, the rest lies in ``home``. The container's own reading is ``entrypoints.manifest.Manifest.place``."""
    if path in places:
        return places[path]
    entry, slash, rest = path.partition("/")
    return f"{places[entry]}{slash}{rest}" if entry in places else f"{home}/{path}"


@dataclass(frozen=True)
class JoinSettings:
    """``models``: by name, the places under /models of its top-level folders and files with weights or graphs."""

    image: str
    target: str
    models: Mapping[str, Mapping[str, str]]

    def to_json(self) -> bytes:
        return canonical_json({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> JoinSettings:
        """The reverse of ``to_json``. Raises SettingsInvalid."""
        try:
            document = json.loads(data)
            if (schema := document.pop("schema")) != SCHEMA:
                raise ValueError(newer_schema(schema, SCHEMA) or f"schema must be {SCHEMA}")
            return cls(**document)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            problem = Problem("settings.json", f"{type(error).__name__}: {error}")
            action = "Plan the build again."
            raise SettingsInvalid("settings.json cannot be used:", [problem], next_action=action) from None
