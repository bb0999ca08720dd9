"""From the path of a file that a start used to the Python module that it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# The folders from which Python imports in any installation. Longer matches win: lib-dynload lies in the standard library.
_ROOTS = re.compile(r"^.*/(?:site-packages|dist-packages|lib/python3(?:\.\d+)?(?:/lib-dynload)?)/")
_SUFFIX = re.compile(r"(?:\.(?:cpython|pypy)[\w-]*|\.abi3)?(?:\.opt-\d)?\.(pyc|py|so)$")


def module_name(path: str, roots: Sequence[str] = ()) -> str:
    """The module that an import of this file makes; empty if the file is no module. ``roots`` are the folders of PYTHONPATH.

    A shared object is a module if its name has Python's tag (``.cpython-311-….so``, ``.abi3.so``) or does not begin with
    ``lib``. A file in a folder that is not a package's name, such as ``numpy.libs``, is no module.
    """
    match = _SUFFIX.search(path)
    inside = _within(path, roots)
    if match is None or inside is None:
        return ""
    name = path[: match.start()].rpartition("/")[2]
    if match[0] == ".so" and name.startswith("lib"):
        return ""
    parts = [part for part in inside.split("/")[:-1] if part != "__pycache__"]
    parts += [name] if name != "__init__" else []
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def find_modules(bytes_by_path: Mapping[str, int], roots: Sequence[str] = ()) -> dict[str, str]:
    """The path from which each module was imported, by its name. ``bytes_by_path``: what was read and mapped of each file.

    A file that was opened only was not imported. A source file is that of an import only if no compiled file of the module was
    read: tracebacks read sources, too.
    """
    found: dict[str, str] = {}
    for path in sorted(bytes_by_path, key=lambda path: (path.endswith(".py"), path)):
        if bytes_by_path[path] and (name := module_name(path, roots)):
            found.setdefault(name, path)
    return found


def _within(path: str, roots: Sequence[str]) -> str | None:
    """The path relative to the innermost folder of imports; None if it is in none."""
    starts = [f"{root.rstrip('/')}/" for root in roots if root.strip("/")]
    lengths = [len(start) for start in starts if path.startswith(start)]
    if match := _ROOTS.match(path):
        lengths.append(match.end())
    return path[max(lengths) :] if lengths else None
