"""Reads tensors that a client sends as typed contents (``InferTensorContents``) instead of raw bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from entrypoints.open_inference.dtypes import ARRAY_TYPES, BYTES, INTEGER_RANGES
from entrypoints.open_inference.grpc.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    MAX_VARINT_BYTES,
    VARINT,
    NotProtobuf,
    WireField,
    read_varint,
    scan,
)
from entrypoints.open_inference.infer.inputs import OBJECT_BYTES, Reserve
from entrypoints.open_inference.infer.tensor_data import Shape, fill_objects

CONTENT_FIELDS = {
    "bool_contents": 1,
    "int_contents": 2,
    "int64_contents": 3,
    "uint_contents": 4,
    "uint64_contents": 5,
    "fp32_contents": 6,
    "fp64_contents": 7,
    "bytes_contents": 8,
}
FIELDS_OF_DATATYPES = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""FP16 and BF16 have none: they are sent as raw contents."""
VARINT_MEMORY = 64
"""Bytes of memory, at most, that one byte of packed numbers takes while they are read."""


def read_contents(content: bytes, start: int, end: int, datatype: str, shape: Shape, reserve: Reserve) -> np.ndarray:
    """The tensor in the ``InferTensorContents`` at ``content[start:end]``. Raises ValueError with the problem."""
    name = FIELDS_OF_DATATYPES.get(datatype)
    if name is None:
        raise ValueError(f"{datatype} has no typed contents: send raw_input_contents")
    number, count = CONTENT_FIELDS[name], math.prod(shape)
    if datatype == BYTES:
        reserve(min(count, (end - start) // 2) * OBJECT_BYTES + end - start, "the tensors")
        return fill_objects(read_elements(content, start, end, number, count), shape)
    kind = {"FP32": FIXED32, "FP64": FIXED64}.get(datatype, VARINT)
    reserve((VARINT_MEMORY if kind == VARINT else 2) * (end - start), "the tensors")
    parts = [read_numbers(content, field, kind) for field in list_fields(content, start, end, number, name)]
    flat = np.concatenate(parts) if parts else np.empty(0, ARRAY_TYPES[datatype])
    if len(flat) != count:
        raise ValueError(f"has {len(flat)} elements in {name}, the shape {list(shape)} has {count}")
    return convert(flat, datatype).reshape(shape)


def list_fields(content: bytes, start: int, end: int, number: int, name: str) -> Iterator[WireField]:
    for field in scan(content, start, end):
        if field.number != number and field.number in CONTENT_FIELDS.values():
            raise ValueError(f"should have its elements in {name}")
        if field.number == number:
            yield field


def read_elements(content: bytes, start: int, end: int, number: int, count: int) -> list[bytes]:
    """The elements of BYTES: each is a field."""
    elements: list[bytes] = []
    head = number << 3 | LENGTH
    while start < end:
        tag, start = read_varint(content, start, end)
        size, start = read_varint(content, start, end)
        if tag != head:
            raise ValueError("should have its elements in bytes_contents")
        if size > end - start:
            raise NotProtobuf(f"an element has {size} bytes, {end - start} follow")
        if len(elements) == count:
            raise ValueError(f"has more elements in bytes_contents than its shape, which has {count}")
        elements.append(content[start : start + size])
        start += size
    if len(elements) != count:
        raise ValueError(f"has {len(elements)} elements in bytes_contents, its shape has {count}")
    return elements


def read_numbers(content: bytes, field: WireField, kind: int) -> np.ndarray:
    """The numbers of one field: all of a packed field, or the only one of an unpacked field. Varints become uint64."""
    size = field.end - field.start
    if kind == VARINT:
        if field.kind == VARINT:
            return np.array([field.value], np.uint64)
        if field.kind == LENGTH:
            return read_varints(np.frombuffer(content, np.uint8, size, field.start))
    elif field.kind in (LENGTH, kind):
        stored = np.dtype("<f4" if kind == FIXED32 else "<f8")
        if size % stored.itemsize == 0:
            return np.frombuffer(content, stored, size // stored.itemsize, field.start)
    raise NotProtobuf(f"field {field.number} has the wire type {field.kind} and {size} bytes")


def read_varints(data: np.ndarray) -> np.ndarray:
    """All numbers at once: a loop over millions would take seconds."""
    ends = np.flatnonzero(data < 0x80)
    if data.size and (not ends.size or ends[-1] != data.size - 1):
        raise NotProtobuf("a number does not end")
    starts = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    lengths = ends - starts + 1
    longest = int(lengths.max()) if lengths.size else 0
    if longest > MAX_VARINT_BYTES:
        raise NotProtobuf("a number does not end")
    values = np.zeros(ends.size, np.uint64)
    for position in range(longest):
        has = lengths > position
        bits = (data[starts[has] + position] & 0x7F).astype(np.uint64)
        values[has] |= bits << np.uint64(7 * position)
    return values


def convert(flat: np.ndarray, datatype: str) -> np.ndarray:
    """Raises ValueError for numbers that the datatype cannot hold."""
    if datatype in ("FP32", "FP64"):
        floats: np.ndarray = flat.astype(ARRAY_TYPES[datatype])
        return floats
    if datatype == "BOOL":
        return flat.astype(np.bool_)
    low, high = INTEGER_RANGES[datatype]
    numbers = flat if low == 0 else flat.view(np.int64)
    if numbers.size and (numbers.min() < low or numbers.max() > high):
        raise ValueError(f"has a number that {datatype} cannot hold: it has {low} to {high}")
    converted: np.ndarray = numbers.astype(ARRAY_TYPES[datatype])
    return converted
