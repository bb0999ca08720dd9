"""Reads the header of a safetensors file: dtype, shape, offset and length of each tensor, without the data.

The format: the header's length as an unsigned 64-bit little-endian integer, the header (a JSON object), then the data. The
offsets in the header cover the data without gaps or overlaps (section "Format" of the safetensors README).
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
from prebake.bake.weights.dtypes import ITEM_BYTES

_MAX_HEADER_BYTES = 100_000_000  # the reference implementation's own limit
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class TensorRegion:
    """One tensor of a file: ``length`` bytes at ``offset`` from the start of the file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int

    def digest(self) -> bytes:
        """sha256 of the tensor's bytes, read in chunks of 4 MiB."""
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
        return digest.digest()

    def read(self) -> bytes:
        """The tensor's bytes."""
        return b"".join(bytes(chunk) for chunk in self._chunks())

    def _chunks(self) -> Iterator[memoryview]:
        remaining, buffer = self.length, memoryview(bytearray(min(_CHUNK_BYTES, self.length)))
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            while remaining:
                count = file.readinto(buffer[: min(remaining, _CHUNK_BYTES)])
                if not count:
                    raise _damaged(self.path, f"is truncated inside the tensor '{self.name}'")
                remaining -= count
                yield buffer[:count]


def read_index(path: Path) -> dict[str, TensorRegion]:
    """The tensors of ``path`` by name. Raises WeightsError that describes the fault if the header is invalid."""
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
    if len(prefix) < 8 or length > _MAX_HEADER_BYTES:
        raise _damaged(path, "is not a safetensors file: it has no valid header length")
    data = file.read(length)
    if len(data) < length:
        raise _damaged(path, f"is truncated inside its header of {length} bytes")
    try:
        header = json.loads(data, object_pairs_hook=_unique)
    except ValueError as error:
        raise _damaged(path, f"has a header that is not a JSON object with unique names: {error}") from None
    if not isinstance(header, dict):
        raise _damaged(path, "has a header that is not a JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _region(path: Path, name: str, entry: Any, base: int) -> TensorRegion:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        valid = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"has no dtype, shape or data_offsets for the tensor '{name}' in its header") from None
    if dtype not in ITEM_BYTES:
        raise _damaged(path, f"has the unknown dtype {dtype!r} for the tensor '{name}'")
    if not valid or end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise _damaged(path, f"has data_offsets for the tensor '{name}' that do not match {dtype} {list(shape)}")
    return TensorRegion(path, name, dtype, shape, base + begin, end - begin)


def _check_cover(path: Path, regions: list[TensorRegion], base: int, size: int) -> None:
    position = base
    for region in sorted(regions, key=lambda region: (region.offset, region.length)):
        if region.offset != position:
            raise _damaged(path, f"has a gap or an overlap before the tensor '{region.name}'")
        position += region.length
    if position != size:
        raise _damaged(path, f"is {size} bytes long; its header describes {position} bytes")


def _damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} {what}.", next_action="fetch the file again and check it against weights.lock")
