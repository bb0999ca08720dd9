"""Modules of an image's folder that its served code imports, although ``code`` in image.yaml does not list them: with ``--watch``
the whole folder is mounted, so such an import works, and after the next build it fails."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def find_unlisted_imports(root: Path, served: Iterable[Path]) -> list[Path]:
    """Such modules, each once. A file that is no Python is left out: its import says so."""
    served = set(served)
    found = {path for file in served if file.suffix == ".py" for path in _imported(root, file)}
    return sorted(found - served)


def _imported(root: Path, file: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        for module in _modules(node):
            path = root.joinpath(*module.split(".")).with_suffix(".py")
            if module.startswith("images.") and path.is_file():
                yield path


def _modules(node: ast.AST) -> Iterator[str]:
    """``from a import b`` may name the module ``a.b``."""
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{name.name}" for name in node.names)
