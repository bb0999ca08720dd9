"""The distributions that pip installed, each with its importable modules by their first name."""

from __future__ import annotations

import importlib.machinery
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

STRANGERS = frozenset({"tests", "test"})
"""Top-level packages that wheels ship by accident: two of them overwrite each other, so nothing can rely on one."""


@dataclass(frozen=True)
class Distribution:
    """``modules`` are dotted names; ``files`` are paths below the tree, as RECORD lists them."""

    name: str
    modules: tuple[str, ...]
    files: tuple[str, ...]


def find_distributions(tree: Path) -> tuple[Distribution, ...]:
    """By name. A distribution of namespace packages has its packages below them (``google.protobuf``)."""
    found = {}
    for each in metadata.distributions(path=[str(tree)]):
        name = str(each.metadata["Name"])
        files = tuple(sorted(str(file) for file in each.files or () if (tree / str(file)).is_file()))
        modules = sorted({module for file in files if (module := _module(tree, file))})
        found[name] = Distribution(name, tuple(modules), files)
    return tuple(found[name] for name in sorted(found, key=str.lower))


def _module(tree: Path, file: str) -> str:
    """The importable name of a distribution's file; empty if it has none."""
    parts = file.split("/")
    for depth, part in enumerate(parts[:-1]):
        if not part.isidentifier() or (depth == 0 and part in STRANGERS):
            return ""
        folder = tree.joinpath(*parts[: depth + 1])
        if any((folder / f"__init__{suffix}").is_file() for suffix in _suffixes()):
            return ".".join(parts[: depth + 1])
    return _of_file(parts)


def _of_file(parts: list[str]) -> str:
    stem = next((parts[-1].removesuffix(suffix) for suffix in _suffixes() if parts[-1].endswith(suffix)), "")
    return ".".join([*parts[:-1], stem]) if stem.isidentifier() and stem not in STRANGERS else ""


def _suffixes() -> Iterator[str]:
    yield from importlib.machinery.SOURCE_SUFFIXES
    yield from importlib.machinery.EXTENSION_SUFFIXES
    yield from importlib.machinery.BYTECODE_SUFFIXES
