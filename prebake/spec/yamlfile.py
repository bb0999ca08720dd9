"""YAML with the line of every value, so that a fault can be shown where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from prebake.errors import Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A YAML document's plain data, and the line (from 1) of each value by its path."""

    where: str
    data: Any
    lines: dict[Path, int]

    def place(self, path: Sequence[str | int]) -> str:
        """``file:line field``: the line is that of the deepest part of the path that the file has."""
        known: Path = ()
        for part in path:
            if (*known, part) in self.lines:
                known = (*known, part)
        return f"{self.where}:{self.lines.get(known, 1)} {dotted(path)}".rstrip()


def dotted(path: Sequence[str | int]) -> str:
    """``('sources', 0, 'files')`` as ``sources[0].files``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(text: str, where: str) -> tuple[Document | None, list[Problem]]:
    """Parse; the problems are syntax errors and keys given twice."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        return None, [Problem(f"{where}:{line}", f"is not YAML: {getattr(error, 'problem', None) or error}")]
    if node is None:
        return None, [Problem(f"{where}:1", "is empty")]
    document = Document(where, yaml.safe_load(text), {})
    problems: list[Problem] = []
    _walk(node, (), document, problems)
    return document, problems


def _walk(node: yaml.Node, path: Path, document: Document, problems: list[Problem]) -> None:
    document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                problems.append(
                    Problem(f"{document.where}:{key.start_mark.line + 1} {dotted((*path, name))}", "is given twice")
                )
            seen.add(name)
            _walk(value, (*path, name), document, problems)
            document.lines[(*path, name)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), document, problems)
