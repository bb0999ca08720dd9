"""``settings.json`` of the join stage: the models of an image and the places of their files. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from prebake.documents.canonical import canonical_json
from prebake.errors import Problem, SettingsInvalid, newer_schema

SCHEMA = 1
MEMBERS = "members"
"""The folder under /models for the files of each of several models, except for weights and graphs."""


def place_in(path: str, places: Mapping[str, str], home: str) -> str:
    """The path in an image of several models of a file that one model knows as ``path``. ``places`` maps whole paths and
    top-level folders; all other files lie in ``home``. The container's counterpart is
    ``entrypoints.manifest.values.Manifest.place``."""
    if path in places:
        return places[path]
    entry, slash, rest = path.partition("/")
    return f"{places[entry]}{slash}{rest}" if entry in places else f"{home}/{path}"


@dataclass(frozen=True)
class JoinSettings:
    """``models``: by name, the places under /models of a model's top-level folders and files with weights or graphs."""

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
            action = "plan the build again"
            raise SettingsInvalid("settings.json cannot be used:", [problem], next_action=action) from None
