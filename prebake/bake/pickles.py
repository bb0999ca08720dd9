"""Reading a published pickle without running anything of it."""

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

_NEXT = "Use a release of the checkpoint that holds tensors only, best as safetensors. Nothing of the file was run."
# A legacy file is five pickles (magic number, protocol, system, object, storage keys), then raw storages.
_LEGACY_PICKLES = 5


def open_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of tensors and plain values in ``path``, a file of ``torch.save``, either format.

    Tensors of the zip format are mapped, not read. Raises UnsafePickle, naming every global that is not part of a
    tensor, where the pickle refers to code; WeightsError where it is cut short, damaged or not a dictionary.
    """
    refused = refused_globals(path)
    if refused:
        raise UnsafePickle(f"{path} refers to code: {', '.join(refused)}.", next_action=_NEXT)
    content = _load(path)
    if not isinstance(content, dict):
        raise _unreadable(path, f"holds {type(content).__name__}, not a dictionary of tensors")
    return content


def refused_globals(path: Path) -> tuple[str, ...]:
    """Every global that the pickles of ``path`` name and a tensor does not need, sorted. A static scan, for a message
    that says it all: what is refused in the end, ``torch.load(weights_only=True)`` decides."""
    found: set[str] = set()
    # What cannot be disassembled to its end is judged by torch; what was seen until there still counts.
    with suppress(ValueError, IndexError, OSError, zipfile.BadZipFile):
        for name in _named_globals(path):
            found.add(name)
    return tuple(sorted(found - _allowed()))


def _allowed() -> set[str]:
    return set(_weights_only_unpickler._get_allowed_globals())


def _named_globals(path: Path) -> Iterator[str]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as member:
                        yield from _globals_of(cast(BinaryIO, member))
        return
    with path.open("rb") as file:
        for _ in range(_LEGACY_PICKLES):
            yield from _globals_of(file)


def _globals_of(file: BinaryIO) -> Iterator[str]:
    """The globals of the next pickle in ``file``. ``genops`` only disassembles."""
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
    return WeightsError(f"{path} {what}.", next_action="Fetch the file again and check it against weights.lock.")
