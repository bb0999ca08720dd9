"""A migration carried out on the text of a YAML file: only the renamed words change.

Keys and values are replaced at the positions that the YAML parser reports. Comments, order, quotes, anchors and flow style stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from prebake.errors import Problem
from prebake.spec.upgrade.migration import migrate, new_key, new_value
from prebake.spec.upgrade.renames import Migration

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Change:
    """One word of a file: ``line`` counts from 1, ``field`` is the word's place in the names of the older schema."""

    line: int
    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.old} -> {self.new}"


def migrate_text(text: str, where: str, migration: Migration, schema: int) -> tuple[str, list[Change], list[Problem]]:
    """The text for ``schema``, the changes by line, and the reasons why the text cannot be changed."""
    editor = _Editor(text, where, migration, str(schema))
    if node := yaml.compose(text, Loader=yaml.SafeLoader):
        editor.visit(node, (), "")
    edited = editor.edited()
    if not editor.problems and yaml.safe_load(edited) != _expected(text, migration, schema):
        editor.problems.append(
            Problem(where, "shares a value by an alias between two keys, and only one of them is renamed", _BY_HAND)
        )
    return edited, editor.changes(), editor.problems


_BY_HAND = "write the value out at both keys, then run `prebake upgrade` again"


def _expected(text: str, migration: Migration, schema: int) -> Any:
    return {**migrate(migration, yaml.safe_load(text)), "schema": schema}


class _Editor:
    """Collects replacements by position, so that a node that an alias repeats is replaced once."""

    def __init__(self, text: str, where: str, migration: Migration, schema: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._where = where
        self._migration = migration
        self._schema = schema
        self._edits: dict[tuple[int, int], Change] = {}
        self._open: set[int] = set()

    def visit(self, node: yaml.Node, path: tuple[str, ...], field: str) -> None:
        if isinstance(node, yaml.ScalarNode):
            new = self._schema if path == ("schema",) else new_value(self._migration, path, node.value)
            self._replace(node, field, new)
        elif id(node) not in self._open:  # an anchor may contain its own alias
            self._open.add(id(node))
            if isinstance(node, yaml.MappingNode):
                self._visit_mapping(node, path, field)
            else:
                for index, item in enumerate(node.value):
                    self.visit(item, (*path, str(index)), f"{field}[{index}]")
            self._open.discard(id(node))

    def _visit_mapping(self, node: yaml.MappingNode, path: tuple[str, ...], field: str) -> None:
        names = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for key, value in node.value:
            if key.tag == _MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self.visit(merged, path, field)
            elif isinstance(key, yaml.ScalarNode):
                name, place = new_key(self._migration, path, key.value), f"{field}.{key.value}".lstrip(".")
                if name != key.value and name in names:
                    line = key.start_mark.line + 1
                    self.problems.append(
                        Problem(
                            f"{self._where}:{line} {place}",
                            f"is given together with {name}, its new name",
                            "keep one of them",
                        )
                    )
                self._replace(key, place, name)
                self.visit(value, (*path, name), place)

    def _replace(self, node: yaml.ScalarNode, field: str, new: str) -> None:
        if new == node.value:
            return
        start, end = node.start_mark.index, node.end_mark.index
        at = self._text.rfind(node.value, start, end)  # an anchor, a tag or a quote may stand before the word
        if at < 0:
            where = f"{self._where}:{node.start_mark.line + 1} {field}"
            self.problems.append(Problem(where, f"writes {node.value!r} with escapes", f"write {new} by hand"))
            return
        change = Change(node.start_mark.line + 1, field, node.value, new)
        self._edits.setdefault((at, at + len(node.value)), change)

    def edited(self) -> str:
        text = self._text
        for (start, end), change in sorted(self._edits.items(), reverse=True):
            text = text[:start] + change.new + text[end:]
        return text

    def changes(self) -> list[Change]:
        return [change for _, change in sorted(self._edits.items())]
