"""Loads the tensors of a published pickle without running its code."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, cast

import torch
from torch import _weights_only_unpickler

from prebake.bake.errors import WeightsError
from prebake.errors import UnsafePickle

_NEXT = "use a release of the checkpoint that has only tensors, preferably as safetensors; no code of this file was run"
# A legacy file is five pickles (magic number, protocol, system, object, storage keys), then raw storages.
_LEGACY_PICKLES = 5


def open_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of tensors and plain values in ``path``, a file that ``torch.save`` wrote in either of its formats.

    Tensors of the zip format are memory-mapped. Raises UnsafePickle, with every global that tensors do not need, if the
    pickle refers to code; WeightsError if the file is truncated, damaged or does not hold a dictionary.
    """
    if unsafe := find_unsafe_globals(path):
        raise UnsafePickle(f"{path} refers to code: {', '.join(unsafe)}.", next_action=_NEXT)
    content = _load(path)
    if not isinstance(content, dict):
        raise _unreadable(path, f"holds a {type(content).__name__}, not a dictionary of tensors")
    return content


def find_unsafe_globals(path: Path) -> tuple[str, ...]:
    """Every global that the pickles of ``path`` refer to and that tensors do not need, sorted.

    A static scan, so that the error lists all of them. ``torch.load(weights_only=True)`` decides what is loaded.
    """
    found: set[str] = set()
    # If disassembly fails midway, the globals before that point are reported, and torch decides about the rest.
    with suppress(ValueError, IndexError, OSError, zipfile.BadZipFile):
        for name in _list_globals(path):
            found.add(name)
    return tuple(sorted(found - _allowed_globals()))


def _allowed_globals() -> set[str]:
    return set(_weights_only_unpickler._get_allowed_globals())


def _list_globals(path: Path) -> Iterator[str]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as member:
                        yield from _disassemble(cast(BinaryIO, member))
        return
    with path.open("rb") as file:
        for _ in range(_LEGACY_PICKLES):
            yield from _disassemble(file)


def _disassemble(file: BinaryIO) -> Iterator[str]:
    """The globals of the next pickle in ``file``. ``pickletools.genops`` runs nothing."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif opcode.name.startswith("EXT"):
            yield f"copyreg extension {argument}"
        elif isinstance(argument, str):
            strings.append(argument)
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name in ("BINPUT", "LONG_BINPUT") and strings:
            memo[cast(int, argument)] = strings[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET") and argument in memo:
            strings.append(memo[argument])


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        if "Unsupported" in str(error) or "not allowed" in str(error):
            raise UnsafePickle(f"{path} was refused: {_first_line(error)}", next_action=_NEXT) from None
        raise _unreadable(path, f"cannot be read: {_first_line(error)}") from None
    except (RuntimeError, ValueError, EOFError, KeyError, IndexError, OSError, AssertionError, TypeError) as error:
        raise _unreadable(path, f"cannot be read: {_first_line(error) or type(error).__name__}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]


def _unreadable(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} {what}.", next_action="fetch the file again and check it against weights.lock")
