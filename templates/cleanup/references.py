"""Finds the folders named ``tests`` that other code refers to.

Code refers to a folder by an import, or by its name in a string (``import_module(f"{name}.tests")``,
``Path(__file__).parent / "tests"``, ``add_subpackage("tests")``). Whoever is in doubt keeps the folder. What is kept is code as
well, so its own references count, until nothing more is found.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "tests"
_IN_STRING = re.compile(r"[./\\]*(?:[\w$-]+[./\\]+)*(?<![\w-])tests(?![\w-])")
_IN_BINARY = re.compile(rb"[\w.]+\.tests(?!\w)|(?<=\0)tests(?=\0)")
_CODE, _BINARY, _TEXT = (".py", ".pyi"), (".so", ".pyx"), ("entry_points.txt",)


@dataclass(frozen=True)
class Reference:
    """Something called ``tests``. ``path`` is a path from the tree's top (an import); or, if not ``whole``, the end of a string
    up to that word: bare, it means a folder beside or above; after a separator (``f"{name}.tests"``) also one below."""

    file: str
    path: str
    whole: bool


def kept_by_reference(tree: Path, folders: Collection[str]) -> set[str]:
    """Those of ``folders`` (paths below ``tree``) that code outside of them refers to."""
    kept: set[str] = set()
    found = set(_read(tree, _files(tree, tree, folders)))
    while found:
        new = {folder for folder in folders if folder not in kept and any(_meant(each, folder) for each in found)}
        kept |= new
        found = {each for folder in sorted(new) for each in _read(tree, _files(tree, tree / folder, ()))}
    return kept


def _meant(reference: Reference, folder: str) -> bool:
    if reference.whole:
        return _below(reference.path, folder)
    if "/" in reference.path.strip("/"):  # several folders by name, counted from wherever
        return f"/{folder}".endswith(f"/{reference.path.strip('/')}")
    here, parent = os.path.dirname(reference.file), os.path.dirname(folder)  # noqa: PTH120
    same = reference.file.partition("/")[0] == folder.partition("/")[0]
    return same and (_below(here, parent) or ("/" in reference.path and _below(parent, here)))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _files(tree: Path, top: Path, skipped: Collection[str]) -> Iterator[str]:
    for folder, names, files in os.walk(top):
        here = Path(folder).relative_to(tree).as_posix()
        prefix = "" if here == "." else f"{here}/"
        names[:] = sorted(name for name in names if f"{prefix}{name}" not in skipped)
        for name in sorted(files):
            if name.endswith((*_CODE, *_BINARY)) or name in _TEXT:
                yield f"{prefix}{name}"


def _read(tree: Path, files: Iterator[str]) -> Iterator[Reference]:
    for file in files:
        data = (tree / file).read_bytes()
        if NAME.encode() not in data:
            continue
        if file.endswith(_CODE) and (module := _parsed(data)):
            yield from _of_code(file, module)
        else:
            for match in _IN_BINARY.findall(data) if not file.endswith(_CODE) else [b"tests"]:
                yield from _of_string(file, match.decode())


def _parsed(data: bytes) -> ast.Module | None:
    """None for a file of another Python's syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(data)
        except (SyntaxError, ValueError, RecursionError):
            return None


def _of_code(file: str, module: ast.Module) -> Iterator[Reference]:
    documentation = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    strings = os.path.basename(file) != "conftest.py"  # noqa: PTH119  (pytest alone reads what it names)
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from _of_import(file, (alias.name.replace(".", "/") for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(file, node)
            yield from _of_import(file, (f"{origin}/{alias.name}".strip("/") for alias in node.names))
        elif (
            strings and isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
        ):
            yield from _of_string(file, node.value)


def _of_import(file: str, paths: Iterable[str]) -> Iterator[Reference]:
    return (Reference(file, path, True) for path in paths if NAME in path.split("/"))


def _origin(file: str, node: ast.ImportFrom) -> str:
    """The path of what an ``from … import`` names: relative ones count from the file's package."""
    module = (node.module or "").replace(".", "/")
    if not node.level:
        return module
    folders = file.split("/")[: -node.level]
    return "/".join([*folders, *([module] if module else [])])


def _of_string(file: str, text: str) -> Iterator[Reference]:
    """A text with blanks in it is prose."""
    for word in () if re.search(r"\s", text.strip()) else _IN_STRING.findall(text):
        path = re.sub(r"[./\\]+", "/", word)
        yield Reference(file, path, False)
