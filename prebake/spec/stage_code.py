"""The code that the export and compile stages import besides the image's own.

It is the bake library, the documents and those container modules that they import. A change of any other container module does
not repeat the export. (If whole folders counted, every change of the container's fallback or manifest reader would repeat it.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import prebake
from prebake.spec.source_file import SourceFile

PACKAGE = Path(prebake.__file__).parent
_CONTAINER = "entrypoints"
# `from entrypoints.a import b, c` (also in parentheses over several lines) and `import entrypoints.a`, wherever they stand.
_IMPORT = re.compile(
    rf"^[ \t]*(?:from[ \t]+({_CONTAINER}[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^#\n]*)|import[ \t]+({_CONTAINER}[\w.]*))",
    re.MULTILINE,
)


def read_stage_code(library: Path) -> tuple[SourceFile, ...]:
    """Every file, the container's first; ``library`` is the folder that entrypoints/ lies in."""
    modules = sorted(path for folder in ("bake", "documents") for path in (PACKAGE / folder).rglob("*.py"))
    ours = [PACKAGE / "__init__.py", PACKAGE / "errors.py", *modules]
    container = imported_modules(library, [path.read_text(encoding="utf-8") for path in ours])
    return (
        *(SourceFile(name, (library / name).read_bytes()) for name in container),
        *(SourceFile(f"prebake/{path.relative_to(PACKAGE).as_posix()}", path.read_bytes()) for path in ours),
    )


def imported_modules(library: Path, texts: list[str]) -> list[str]:
    """The container's modules that these texts import, and those that these modules import in turn; with their packages."""
    found: set[str] = set()
    waiting = list(texts)
    while waiting:
        names = {path for module in _imports(waiting.pop()) for path in _files(library, module)} - found
        found |= names
        waiting += [(library / name).read_text(encoding="utf-8") for name in names]
    return sorted(found)


def _imports(text: str) -> Iterator[str]:
    """Dotted names that may be modules: ``from entrypoints.manifest import reader`` gives ``entrypoints.manifest`` and
    ``entrypoints.manifest.reader``."""
    for package, names, module in _IMPORT.findall(text) if _CONTAINER in text else ():
        yield module or package
        yield from (f"{package}.{name}" for name in re.findall(r"\w+", names))


def _files(library: Path, module: str) -> Iterator[str]:
    """A module's file and the ``__init__.py`` of every package that it is in; nothing if the name is not a module."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        package = "/".join(parts[:end])
        if (library / package / "__init__.py").is_file():
            yield f"{package}/__init__.py"
    if (library / "/".join(parts)).with_suffix(".py").is_file():
        yield f"{'/'.join(parts)}.py"
