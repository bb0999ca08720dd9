"""Finds the files of a package tree that no import needs.

- Folders called ``tests`` with test modules in them, if no other code refers to them (``references.py``).
- Bytecode that came with a wheel: what the image runs is compiled anew, the same on every machine.
- Static libraries: only a linker reads them.
- The commands that pip wrote: their first line names an interpreter that the image does not have.
- What a target's template names by ``--drop``, if no other file names it.

Everything else stays: stubs (lazy_loader reads ``*.pyi``), headers (``get_include``), folders called ``bin`` and ``include``,
``numpy.f2py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from references import kept_by_reference

_TEST_MODULE = re.compile(r"(test_.*|.*_tests?|tests?|conftest)\.pyx?$")
_ARCHIVE = b"!<arch>\n"
_INTERPRETER = b"#!/tools/"


def find_candidates(tree: Path, drop: Sequence[str] = ()) -> list[str]:
    """Paths below ``tree``, sorted; none lies in another."""
    tests = _test_folders(tree)
    found = {*(tests - kept_by_reference(tree, tests)), *_plain(tree), *_dropped(tree, drop)}
    return sorted(path for path in found if not any(path.startswith(f"{other}/") for other in found))


def _test_folders(tree: Path) -> set[str]:
    """The outermost folders named ``tests`` that have test modules. A folder of data with this name does not count."""
    found = set()
    for folder, names, _ in os.walk(tree):
        if "tests" in names:
            path = Path(folder, "tests")
            if not path.is_symlink() and any(
                _TEST_MODULE.match(file) for _, _, files in os.walk(path) for file in files
            ):
                found.add(path.relative_to(tree).as_posix())
                names.remove("tests")
    return found


def _plain(tree: Path) -> Iterator[str]:
    for folder, names, files in os.walk(tree):
        here = Path(folder)
        for name in [name for name in names if name == "__pycache__"]:
            names.remove(name)
            yield (here / name).relative_to(tree).as_posix()
        for path in (here / name for name in files):
            command = here == tree / "bin" and _starts(path, _INTERPRETER)
            if command or (path.suffix == ".a" and _starts(path, _ARCHIVE)):
                yield path.relative_to(tree).as_posix()


def _starts(path: Path, magic: bytes) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _dropped(tree: Path, globs: Sequence[str]) -> Iterator[str]:
    """``!GLOB`` keeps what another glob drops. Folders are taken whole; a library stays if another package's file names it."""
    kept = {path for glob in globs if glob.startswith("!") for path in tree.glob(glob[1:])}
    for glob in globs:
        for path in tree.glob(glob) if not glob.startswith("!") else ():
            if path not in kept and not (path.is_file() and ".so" in path.name and _is_named(tree, path)):
                yield path.relative_to(tree).as_posix()


def _is_named(tree: Path, library: Path) -> bool:
    """Whether a file of another package holds a library's name, without its version."""
    own, name = library.relative_to(tree).parts[0], library.name.partition(".so")[0].encode() + b".so"
    others = (path for path in tree.rglob("*") if path.suffix in (".py", ".so") or ".so." in path.name)
    return any(
        path.relative_to(tree).parts[0] != own and path.is_file() and name in path.read_bytes() for path in others
    )
