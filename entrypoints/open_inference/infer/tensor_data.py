"""Tensors as JSON lists and as binary data, and as numpy arrays. BYTES are arrays of objects: ``bytes``, or ``str`` from JSON."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from entrypoints.open_inference.dtypes import (
    ARRAY_TYPES,
    BF16,
    BOOL,
    BYTES,
    ELEMENT_BYTES,
    INTEGER_RANGES,
    LENGTH_BYTES,
)

Shape = tuple[int, ...]
_JSON_WORDS: dict[type, str] = {
    bool: "true or false",
    dict: "objects",
    float: "fractions",
    int: "numbers",
    list: "lists",
    str: "text",
    type(None): "null",
}


def read_binary(content: bytes, start: int, end: int, datatype: str, shape: Shape) -> np.ndarray:
    """The tensor in ``content[start:end]``. Raises ValueError with the problem."""
    if datatype == BYTES:
        return fill_objects(split_elements(content, start, end, math.prod(shape)), shape)
    needed = math.prod(shape) * ELEMENT_BYTES[datatype]
    if end - start != needed:
        raise ValueError(f"has {end - start} bytes, {datatype} {list(shape)} has {needed}")
    if datatype == BOOL:
        flat = np.frombuffer(content, np.uint8, needed, start)
        if flat.size and flat.max() > 1:
            raise ValueError("has a byte that is neither 0 nor 1, as BOOL has")
    stored = np.dtype(ARRAY_TYPES[datatype])
    flat = np.frombuffer(content, stored.newbyteorder("<"), math.prod(shape), start)
    return flat.reshape(shape).astype(stored)  # a copy: in native order, aligned, and independent of the body


def split_elements(content: bytes, start: int, end: int, count: int) -> list[bytes]:
    """The ``count`` elements of BYTES in ``content[start:end]``. Raises ValueError if they do not fill it exactly."""
    if count * LENGTH_BYTES > end - start:
        raise ValueError(f"has {end - start} bytes, fewer than the lengths of {count} elements take")
    elements, read_length = [], struct.Struct("<I").unpack_from
    for number in range(count):
        begin = start + LENGTH_BYTES
        if begin > end:
            raise ValueError(f"ends in the length of element {number}, should have {count} elements")
        start = begin + read_length(content, begin - LENGTH_BYTES)[0]
        if start > end:
            raise ValueError(f"ends in element {number}, which should have {start - begin} bytes")
        elements.append(content[begin:start])
    if start != end:
        raise ValueError(f"has {end - start} bytes after its {count} elements")
    return elements


def fill_objects(elements: Sequence[object], shape: Shape) -> np.ndarray:
    """By assignment: numpy would make an array of text of a list of texts, each as long as the longest."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def read_json(data: object, datatype: str, shape: Shape) -> np.ndarray:
    """The tensor in a JSON list: flat, or nested as its shape. Raises ValueError with the problem."""
    flat = flatten(data, shape)
    kinds = set(map(type, flat))
    if datatype == BYTES:
        return fill_objects(check_texts(flat, kinds), shape)
    if datatype == BF16:
        raise ValueError("BF16 has no form in JSON: send it as binary data")
    if datatype == BOOL:
        check_kinds(kinds, {bool, int}, "true or false")
        if flat and (min(flat) < 0 or max(flat) > 1):
            raise ValueError("should be true or false")
        return np.array(flat, np.bool_).reshape(shape)
    if datatype in INTEGER_RANGES:
        return read_integers(flat, kinds, datatype).reshape(shape)
    return read_floats(flat, kinds, datatype).reshape(shape)


def flatten(data: object, shape: Shape) -> list[Any]:
    """The elements in row-major order. Raises ValueError unless they are as many as the shape has."""
    if not isinstance(data, list):
        if shape == ():
            return [data]
        raise ValueError("data should be a list")
    count = math.prod(shape)
    if list not in map(type, data):
        if len(data) != count:
            raise ValueError(f"has {len(data)} elements, the shape {list(shape)} has {count}")
        return data
    level: list[Any] = [data]
    for length in shape:
        if set(map(type, level)) - {list} or set(map(len, level)) - {length}:
            raise ValueError(f"data should be a flat list of {count} elements, or nested as the shape {list(shape)}")
        level = list(chain.from_iterable(level))
    return level


def check_kinds(kinds: set[type], accepted: set[type], expected: str) -> None:
    wrong = ", ".join(sorted(_JSON_WORDS.get(kind, "other values") for kind in kinds - accepted))
    if wrong:
        raise ValueError(f"has {wrong}, should have {expected}")


def check_texts(flat: list[Any], kinds: set[type]) -> list[Any]:
    check_kinds(kinds, {str}, "text")
    for text in flat:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("has half of a surrogate pair, which is not a character") from None
    return flat


def read_integers(flat: list[Any], kinds: set[type], datatype: str) -> np.ndarray:
    check_kinds(kinds, {int, float}, "whole numbers")
    if float in kinds:
        if not all(value.is_integer() for value in flat if isinstance(value, float)):
            raise ValueError("has fractions, should have whole numbers")
        flat = [int(value) for value in flat]
    low, high = INTEGER_RANGES[datatype]
    if flat and (min(flat) < low or max(flat) > high):
        raise ValueError(f"has a number that {datatype} cannot hold: it has {low} to {high}")
    return np.array(flat, ARRAY_TYPES[datatype])


def read_floats(flat: list[Any], kinds: set[type], datatype: str) -> np.ndarray:
    check_kinds(kinds, {int, float}, "numbers")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, np.float64).astype(ARRAY_TYPES[datatype])
    except OverflowError:
        array = np.array([math.inf])
    if not np.isfinite(array).all():
        raise ValueError(f"has a number that {datatype} cannot hold")
    return array


def write_binary(array: np.ndarray, datatype: str) -> bytes:
    if datatype != BYTES:
        stored = np.dtype(ARRAY_TYPES[datatype]).newbyteorder("<")
        return array.astype(stored, copy=False).tobytes()
    pieces: list[bytes] = []
    for element in array.ravel().tolist():
        content = encode(element)
        pieces += (struct.pack("<I", len(content)), content)
    return b"".join(pieces)


def write_json(array: np.ndarray, datatype: str) -> list[Any]:
    """The elements in row-major order. NaN and infinities become null, as JSON has none."""
    elements: list[Any] = array.ravel().tolist()
    if datatype == BYTES:
        return [str(element) for element in elements]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [element if math.isfinite(element) else None for element in elements]
    return elements


def write_base64(array: np.ndarray) -> list[str]:
    """The elements of BYTES that are not all text."""
    return [base64.b64encode(encode(element)).decode() for element in array.ravel().tolist()]


def has_bytes(array: np.ndarray) -> bool:
    """Whether JSON cannot have the elements as text."""
    return any(isinstance(element, bytes) for element in array.ravel().tolist())


def encode(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode("utf-8", "surrogatepass")
