"""The inputs of a request: their descriptions in the JSON, then their data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from entrypoints.manifest.shape_buckets import find_shape_mismatches
from entrypoints.open_inference.dtypes import BYTES, DATATYPES
from entrypoints.open_inference.infer.parameters import Problems, cut
from entrypoints.open_inference.infer.tensor_data import Shape, read_binary, read_json
from entrypoints.open_inference.models import OfferedModel, Tensor
from entrypoints.suggestion import suggest

MAX_AXES = 32
MAX_EMPTY_ELEMENTS = 2**24
"""Elements that the other axes of a tensor without elements may have together: a graph may compute a tensor of them."""
OBJECT_BYTES = 100
"""The memory of each element of type BYTES, besides its content."""

Reserve = Callable[[int, str], None]
"""Called with the bytes of memory that are taken next, and what for. Raises what ends the request if there are not so many."""


class GivenInput(NamedTuple):
    """An input as its description has it. ``data``: the JSON. ``start`` and ``end``: of its binary data in the body, -1 if it has
    none."""

    name: str
    datatype: str
    shape: Shape
    data: object = None
    start: int = -1
    end: int = -1


def describe_inputs(
    model: OfferedModel, document: Mapping[str, Any], binary: tuple[int, int], problems: Problems
) -> list[GivenInput]:
    """The inputs, checked as far as it goes without reading their data. ``binary``: where binary data begins and ends."""
    entries = document.get("inputs")
    if not isinstance(entries, list):
        problems.add("inputs should be a list of tensors")
        return []
    position, end = binary
    given: dict[str, GivenInput] = {}
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            problems.add(f"inputs[{number}] should be an object with a name")
            continue
        size = read_binary_size(name, entry, problems)
        if name in seen:
            problems.add(f"the input {cut(name)} is given twice")
        elif tensor := find_tensor(name, model.inputs, "input", problems):
            described = describe_input(name, entry, tensor, problems)
            if described and size is None:
                given[name] = described._replace(data=entry.get("data"))
            elif described:
                given[name] = described._replace(start=position, end=position + (size or 0))
        seen.add(name)
        position += size or 0
    if position > end:
        problems.add(f"binary_data_size of the inputs is {position - binary[0]} bytes together, {end - binary[0]} came")
    elif position < end:
        problems.add(f"{end - position} bytes follow the last input")
    for name, tensor in model.inputs.items():
        if name not in seen and not tensor.optional:
            problems.add(f"the input {name} is missing")
    check_shapes(model, {name: each.shape for name, each in given.items()}, problems)
    return list(given.values())


def find_tensor(name: str, known: Mapping[str, Tensor], what: str, problems: Problems) -> Tensor | None:
    tensor = known.get(name)
    if tensor is None:
        hint = "" if problems.full else suggest(cut(name), list(known))
        problems.add(f"{cut(name)} is not an {what}{hint}")
    return tensor


def read_binary_size(name: str, entry: Mapping[str, Any], problems: Problems) -> int | None:
    """The size of the input's binary data, None if it has none."""
    parameters = entry.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        problems.add(f"parameters of the input {cut(name)} should be an object")
        return None
    if "shared_memory_region" in parameters:
        problems.add(f"{cut(name)}: shared memory is not supported: send the data in the request")
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in entry:
            problems.add(f"{cut(name)} has neither data nor binary_data_size")
        return None
    if type(size) is not int or size < 0:
        problems.add(f"binary_data_size of {cut(name)} should be a number of bytes")
        return None
    if "data" in entry:
        problems.add(f"{cut(name)} has both data and binary_data_size")
    return size


def describe_input(name: str, entry: Mapping[str, Any], tensor: Tensor, problems: Problems) -> GivenInput | None:
    """None if the datatype or the shape is wrong."""
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if datatype != tensor.datatype:
        given = cut(datatype) if isinstance(datatype, str) else "not given"
        unknown = "" if given in DATATYPES.values() or given == "not given" else ", which is no datatype"
        problems.add(f"the datatype of {name} is {given}{unknown}; it should be {tensor.datatype}")
    if not isinstance(shape, list) or not all(type(axis) is int and 0 <= axis < 2**63 for axis in shape):
        problems.add(f"the shape of {name} should be a list of whole numbers from 0 on")
    elif len(shape) > MAX_AXES:
        problems.add(f"{name} has {len(shape)} axes, more than {MAX_AXES}")
    elif 0 in shape and math.prod(axis for axis in shape if axis) > MAX_EMPTY_ELEMENTS:
        problems.add(f"the shape {shape} of {name} has axes that are too long for a tensor without elements")
    elif datatype == tensor.datatype:
        return GivenInput(name, tensor.datatype, tuple(shape))
    return None


def check_shapes(model: OfferedModel, shapes: Mapping[str, Shape], problems: Problems) -> None:
    if not model.takes_form:
        expected = {name: tensor.shape for name, tensor in model.inputs.items()}
        for name, misfit in find_shape_mismatches(shapes, expected).items():
            problems.add(f"{name} {misfit}")
        return
    for name, shape in shapes.items():
        if shape not in ((), (1,)):
            problems.add(f"{name} has the shape {list(shape)}, should have [1]: {model.name} answers one at a time")


def read_data(given: list[GivenInput], content: bytes, reserve: Reserve, problems: Problems) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, datatype, shape, data, start, end in given:
        try:
            if start < 0:
                arrays[name] = read_json(data, datatype, shape)
            else:
                reserve(measure_binary(datatype, shape, end - start), "the tensors")
                arrays[name] = read_binary(content, start, end, datatype, shape)
        except ValueError as error:
            problems.add(f"{name}: {error}")
    return arrays


def measure_binary(datatype: str, shape: Shape, size: int) -> int:
    """The memory of a tensor whose binary data has ``size`` bytes, which bound the elements that are read of it."""
    return size + min(math.prod(shape), size // 4) * OBJECT_BYTES if datatype == BYTES else size
