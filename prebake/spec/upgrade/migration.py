"""A migration carried out on plain data: mappings, lists and scalars of a parsed file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prebake.spec.upgrade.renames import Migration, Pattern


def new_key(migration: Migration, parent: Sequence[str], key: str) -> str:
    """The name that ``key`` has in the next schema; ``parent`` is the path of its mapping in that schema's names."""
    for rename in migration.keys:
        if rename.old == key and matches(rename.parent, parent):
            return rename.new
    return key


def new_value(migration: Migration, path: Sequence[str], value: str) -> str:
    """The text that stands at ``path`` in the next schema."""
    for rename in migration.values:
        if rename.old == value and matches(rename.path, path):
            return rename.new
    return value


def migrate(migration: Migration, document: Any, path: tuple[str, ...] = ()) -> Any:
    """``document`` with the names of the next schema; its schema number stays."""
    if isinstance(document, dict):
        names = {key: new_key(migration, path, str(key)) for key in document}
        return {
            (names[key] if names[key] != str(key) else key): migrate(migration, value, (*path, names[key]))
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [migrate(migration, value, (*path, str(index))) for index, value in enumerate(document)]
    return new_value(migration, path, document) if isinstance(document, str) else document


def find_collisions(migration: Migration, document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Each mapping that has a key and the key's new name: its path, the old name and the new one."""
    if isinstance(document, dict):
        for key, value in document.items():
            new = new_key(migration, path, str(key))
            if new != key and new in document:
                yield ".".join(path), str(key), new
            yield from find_collisions(migration, value, (*path, new))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from find_collisions(migration, value, (*path, str(index)))


def matches(pattern: Pattern, path: Sequence[str]) -> bool:
    """Whether a path is one of those that the pattern stands for."""
    return len(pattern) == len(path) and all(
        expected in ("*", name) for expected, name in zip(pattern, path, strict=True)
    )
