"""``image.yaml`` and ``weights.lock`` of an earlier schema, as the present schema writes them. Nothing is written to disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.errors import LockMismatch, Problem, newer_schema
from prebake.spec.image.image import IMAGE_SCHEMA
from prebake.spec.json_file import read_json
from prebake.spec.lock import LOCK_SCHEMA, lock_text, parse_lock
from prebake.spec.upgrade.migration import find_collisions, migrate
from prebake.spec.upgrade.renames import IMAGE_MIGRATIONS, LOCK_MIGRATIONS, Migration
from prebake.spec.upgrade.yaml_text import Change, migrate_text
from prebake.spec.yaml_file import read_document


@dataclass(frozen=True)
class UpgradedFile:
    """A file of the project: its schema, the present one, its new text, and what changes. ``changes`` is empty if it is up to
    date."""

    where: str
    schema: int
    present: int
    text: str
    changes: tuple[str, ...] = ()


def upgrade_image(text: str, where: str) -> tuple[UpgradedFile | None, list[Problem]]:
    """The file in the present schema, or every reason why it cannot be rewritten."""
    document, problems = read_document(text, where)
    if document is None or problems:
        return None, problems
    if problem := _schema_problem(document.data, where, IMAGE_SCHEMA, document.lines.get(("schema",), 1)):
        return None, [problem]
    found, changes = int(document.data["schema"]), list[Change]()
    for schema in range(found, IMAGE_SCHEMA):
        text, more, problems = migrate_text(text, where, IMAGE_MIGRATIONS[schema], schema + 1)
        if problems:
            return None, problems
        changes += more
    return UpgradedFile(
        where=where, schema=found, present=IMAGE_SCHEMA, text=text, changes=tuple(map(str, changes))
    ), []


def upgrade_lock(text: str, where: str) -> tuple[UpgradedFile | None, list[Problem]]:
    """The lock in the present schema as canonical text, or every reason why it cannot be rewritten."""
    document, problems = read_json(text, where)
    if problems:
        return None, problems
    if problem := _schema_problem(document, where, LOCK_SCHEMA, 1):
        return None, [problem]
    found = int(document["schema"])
    if found == LOCK_SCHEMA:
        return UpgradedFile(where=where, schema=found, present=LOCK_SCHEMA, text=text), []
    for schema in range(found, LOCK_SCHEMA):
        if problems := list(_collisions(LOCK_MIGRATIONS[schema], document, where)):
            return None, problems
        document = {**migrate(LOCK_MIGRATIONS[schema], document), "schema": schema + 1}
    upgraded = lock_text(document)
    try:
        parse_lock(upgraded, where)
    except LockMismatch as error:
        return None, list(error.problems)
    changes = _renamed_keys(text, found)
    return UpgradedFile(where=where, schema=found, present=LOCK_SCHEMA, text=upgraded, changes=changes), []


def _collisions(migration: Migration, document: Any, where: str) -> Iterator[Problem]:
    for field, old, new in find_collisions(migration, document):
        yield Problem(f"{where}: {field}", f"has both {old} and {new}, its new name", "keep one of them")


def _renamed_keys(text: str, schema: int) -> tuple[str, ...]:
    renames = [rename for number in range(schema, LOCK_SCHEMA) for rename in LOCK_MIGRATIONS[number].keys]
    used = dict.fromkeys(f"{rename.old} -> {rename.new}" for rename in renames if f'"{rename.old}":' in text)
    return (f"schema: {schema} -> {LOCK_SCHEMA}", *used)


def _schema_problem(document: Any, where: str, present: int, line: int) -> Problem | None:
    if not isinstance(document, Mapping):
        return Problem(f"{where}:1", "is not a mapping of keys to values")
    schema, place = document.get("schema"), f"{where}:{line} schema"
    if "schema" not in document:
        return Problem(place, "is missing", "write `schema: 1` if the file has the keys of Prebake's first version")
    if newer := newer_schema(schema, present):
        return Problem(place, newer, "update Prebake")
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        return Problem(
            place, f"should be a number from 1 to {present}, found {schema!r:.80}", "a whole number without quotes"
        )
    return None
