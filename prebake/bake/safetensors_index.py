"""Where each tensor of a safetensors file lies: name to dtype, shape, absolute offset and length, without reading them.

The format: an unsigned 64-bit little-endian header length, the header (a JSON object), then the data, which the
header's offsets cover without holes or overlap (the "Format" section of the safetensors README).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prebake.bake.errors import WeightsError

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_HEADER_LIMIT = 100_000_000  # the reference implementation's own limit
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Region:
    """One tensor of a file: ``length`` bytes at ``offset`` from the file's beginning."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int

    def digest(self) -> bytes:
        """sha256 of the tensor's bytes, read in pieces of 4 MiB."""
        digest = hashlib.sha256()
        for piece in self._pieces():
            digest.update(piece)
        return digest.digest()

    def read(self) -> bytes:
        """The tensor's bytes."""
        return b"".join(bytes(piece) for piece in self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        left, buffer = self.length, memoryview(bytearray(min(_CHUNK, self.length)))
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            while left:
                count = file.readinto(buffer[: min(left, _CHUNK)])
                if not count:
                    raise _damaged(self.path, f"ends inside the tensor '{self.name}'")
                left -= count
                yield buffer[:count]


def read_index(path: Path) -> dict[str, Region]:
    """The regions of ``path`` by tensor name. Raises WeightsError, saying what is wrong with the header."""
    with path.open("rb") as file:
        header, base = _read_header(path, file)
        size = os.fstat(file.fileno()).st_size
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    regions = {name: _region(path, name, entry, base) for name, entry in entries.items()}
    _check_cover(path, list(regions.values()), base, size)
    return regions


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], int]:
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > _HEADER_LIMIT:
        raise _damaged(path, "has no header, or one of impossible length")
    data = file.read(length)
    if len(data) < length:
        raise _damaged(path, f"ends inside its header of {length} bytes")
    try:
        header = json.loads(data, object_pairs_hook=_unique)
    except ValueError as error:
        raise _damaged(path, f"has a header that is not a JSON object of unique names: {error}") from None
    if not isinstance(header, dict):
        raise _damaged(path, "has a header that is not a JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _region(path: Path, name: str, entry: Any, base: int) -> Region:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers_are_sane = all(type(each) is int and each >= 0 for each in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"describes the tensor '{name}' without dtype, shape or data_offsets") from None
    if dtype not in ITEM_BYTES:
        raise _damaged(path, f"gives the tensor '{name}' the unknown type {dtype!r}")
    if not numbers_are_sane or end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise _damaged(path, f"gives the tensor '{name}' offsets that do not fit {dtype} {list(shape)}")
    return Region(path, name, dtype, shape, base + begin, end - begin)


def _check_cover(path: Path, regions: list[Region], base: int, size: int) -> None:
    position = base
    for region in sorted(regions, key=lambda each: (each.offset, each.length)):
        if region.offset != position:
            raise _damaged(path, f"leaves a hole or an overlap before the tensor '{region.name}'")
        position += region.length
    if position != size:
        raise _damaged(path, f"should be {position} bytes long and is {size}")


def _damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} {what}.", next_action="Fetch the file again and check it against weights.lock.")
