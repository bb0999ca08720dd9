"""YAML with the line of every value, so that a message can name the line of a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from prebake.errors import Problem

Path = tuple[str | int, ...]
MAX_DEPTH = 60
MAX_VALUES = 100_000
"""Far more than any image.yaml has. A few aliases of aliases make billions of values."""
_KEY_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in ("str", "int", "float", "bool", "null", "merge", "value")}


@dataclass(frozen=True)
class Document:
    """A YAML document's plain data, and the line (from 1) of each value by its path."""

    where: str
    data: Any
    lines: dict[Path, int]

    def place(self, path: Sequence[str | int]) -> str:
        """``file:line field``. For a field that is missing the line is that of its nearest parent."""
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
    """Parse; the problems are syntax errors, values that YAML cannot express as plain data, and keys given twice."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return None, [Problem(_place(where, error), f"is not YAML: {getattr(error, 'problem', None) or error}")]
    except RecursionError:
        return None, [Problem(f"{where}:1", "is nested too deeply")]
    if node is None:
        return None, [Problem(f"{where}:1", "is empty")]
    walk = _Walk(where)
    walk.visit(node, (), 0)
    if walk.unusable:
        return None, [*walk.unusable, *walk.problems]
    data, problems = _construct(text, where)
    return (None if problems else Document(where, data, walk.lines)), [*problems, *walk.problems]


def _place(where: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{where}:{mark.line + 1 if mark else 1}"


class _Loader(yaml.SafeLoader):
    """Collects the values that cannot be read, with their lines; ``None`` stands for each of them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.unreadable: list[tuple[int, str]] = []

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError as error:
            why = str(getattr(error, "problem", None) or error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            why = f"{node.value!r:.80} is not a valid {node.tag.rpartition(':')[2]}"
        self.unreadable.append((node.start_mark.line + 1, why))
        return None


def _construct(text: str, where: str) -> tuple[Any, list[Problem]]:
    loader = _Loader(text)
    try:
        data = loader.get_single_data()
    except yaml.YAMLError as error:  # of a whole mapping, such as a merge of a text
        return None, [Problem(_place(where, error), f"cannot be read: {getattr(error, 'problem', None) or error}")]
    finally:
        loader.dispose()
    return data, [Problem(f"{where}:{line}", f"cannot be read: {why}") for line, why in loader.unreadable]


class _Walk:
    """Every value once for each place that has it; an alias gives it several. ``unusable``: values that are not plain data."""

    def __init__(self, where: str) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self.unusable: list[Problem] = []
        self._where = where
        self._open: set[int] = set()

    def visit(self, node: yaml.Node, path: Path, depth: int) -> None:
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return
        if fault := self._fault(node, depth):
            if fault not in (problem.what for problem in self.unusable):
                self._refuse(node, path, fault)
            return
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path, depth)
        else:
            for index, value in enumerate(node.value):
                self.visit(value, (*path, index), depth + 1)
        self._open.discard(id(node))

    def _fault(self, node: yaml.Node, depth: int) -> str:
        if id(node) in self._open:
            return "contains itself by an alias"
        if depth > MAX_DEPTH:
            return f"is nested too deeply: more than {MAX_DEPTH} levels"
        if len(self.lines) > MAX_VALUES:
            return f"has more than {MAX_VALUES} values, with what its aliases repeat"
        return ""

    def _visit_mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEY_TAGS:
                self._refuse(key, path, "has a key that is not text (write it in quotes)")
                continue
            name = str(key.value)
            if name in seen:
                self.problems.append(
                    Problem(f"{self._where}:{key.start_mark.line + 1} {dotted((*path, name))}", "is given twice")
                )
            seen.add(name)
            self.visit(value, (*path, name), depth + 1)
            self.lines[(*path, name)] = key.start_mark.line + 1

    def _refuse(self, node: yaml.Node, path: Path, what: str) -> None:
        field = dotted(path)
        self.unusable.append(
            Problem(f"{self._where}:{node.start_mark.line + 1} {field if len(field) < 80 else ''}".rstrip(), what)
        )
