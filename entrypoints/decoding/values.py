"""Values that a worker returns, as bytes: plain ones and arrays.

A worker has read a stranger's file, and a fault of a decoder may have given the process to the file's author. So its answer is
not a pickle, which could run code in the model process. It is a JSON header, then the bytes of the arrays.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ALIGNMENT = 64
"""Bytes: where an array begins, as numpy aligns its own."""
_HEADER_SIZE = struct.Struct("<Q")
_KINDS = "biufc"
"""numpy's kinds of numbers: no objects."""

Buffer = bytes | memoryview


def write_value(value: object) -> list[Buffer]:
    """The parts of a value, in order. Raises TypeError for a value that is not None, a bool, a number, a text, bytes, an array of
    numbers, or a list, tuple or dict of these. A named tuple becomes a tuple. An array that occurs twice is written once."""
    writer = _Writer()
    header = json.dumps(writer.describe(value), separators=(",", ":")).encode()
    start = _HEADER_SIZE.size + len(header)
    return [_HEADER_SIZE.pack(len(header)), header, bytes(-start % ALIGNMENT), *writer.parts]


def read_value(content: Any) -> Any:
    """The value in ``content``, a writable buffer: arrays are views of it.

    Raises ValueError, struct.error, TypeError, KeyError or RecursionError if it is not what `write_value` writes."""
    view = memoryview(content)
    (size,) = _HEADER_SIZE.unpack_from(view)
    start = _HEADER_SIZE.size + size
    if start > len(view):
        raise ValueError("the header is longer than the value")
    document = json.loads(bytes(view[_HEADER_SIZE.size : start]))
    return _read(document, content, start + -start % ALIGNMENT)


class _Writer:
    def __init__(self) -> None:
        self.parts: list[Buffer] = []
        self._size = 0
        self._written: dict[int, object] = {}

    def describe(self, value: object) -> object:
        """The value's place in the header; its bytes, if it has some, are added to the parts."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) not in self._written:
            self._written[id(value)] = self._describe(value)
        return self._written[id(value)]

    def _describe(self, value: object) -> object:
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": [self._add(memoryview(value)), len(value)]}
        if isinstance(value, (list, tuple)):
            return {"list" if isinstance(value, list) else "tuple": [self.describe(each) for each in value]}
        if isinstance(value, dict):
            return {"dict": [[self.describe(key), self.describe(each)] for key, each in value.items()]}
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray) and value.dtype.kind in _KINDS:
            array = numpy.ascontiguousarray(value)
            place = self._add(memoryview(array.reshape(-1).view(numpy.uint8)))
            return {"array": [array.dtype.str, list(value.shape), place]}
        raise TypeError(f"a worker cannot return {type(value).__name__}: return plain values and arrays of numbers")

    def _add(self, part: memoryview) -> int:
        """Its place."""
        place = self._size
        self.parts += [part, bytes(-len(part) % ALIGNMENT)]
        self._size += len(part) + -len(part) % ALIGNMENT
        return place


def _read(document: Any, content: Any, start: int) -> Any:
    if not isinstance(document, dict):
        if isinstance(document, list):
            raise ValueError("a list without its kind")
        return document
    ((kind, given),) = document.items()
    if kind == "bytes":
        place, size = given
        return bytes(_slice(memoryview(content), start + place, size))
    if kind == "array":
        return _read_array(given, content, start)
    if kind == "dict":
        return {_read(key, content, start): _read(value, content, start) for key, value in given}
    values = [_read(each, content, start) for each in given]
    return values if kind == "list" else tuple(values)


def _read_array(given: Sequence[Any], content: Any, start: int) -> np.ndarray:
    import numpy

    name, shape, place = given
    dtype = numpy.dtype(name)
    if dtype.kind not in _KINDS or place < 0 or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError("an array of another kind")
    count = 1
    for length in shape:
        count *= length
    if not count:
        return numpy.empty(shape, dtype)
    return numpy.frombuffer(content, dtype, count, start + place).reshape(shape)


def _slice(view: memoryview, start: int, size: int) -> memoryview:
    if start < 0 or size < 0 or start + size > len(view):
        raise ValueError("bytes beyond the value's end")
    return view[start : start + size]
