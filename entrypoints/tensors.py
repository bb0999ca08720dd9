"""The model of an image that brings no code: a graph's inputs as JSON, its outputs as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from entrypoints.checks import suggest
from entrypoints.contract import Answer, BadRequest, Cancellation, Cancelled, Components, Field
from entrypoints.shapes import find_misfits

SIGNATURES = "tensors.json"
_REFUSALS = ("InvalidArgument", "RuntimeException", "Fail")  # ONNX Runtime's own, which share no base class


class Tensor(NamedTuple):
    """``dtype`` is numpy's word, or ``string``; an axis is a length, or the name of one that is free. A ``shape`` of None stands
    for a tensor of any rank."""

    dtype: str
    shape: tuple[int | str, ...] | None


class Graphs:
    """Every component by itself; the first where none is named."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._signatures = read_signatures(json.loads(components.path(SIGNATURES).read_bytes()))

    @property
    def fields(self) -> Sequence[Field]:
        names = tuple(self._signatures)
        takes = "; ".join(f"{name}: {describe(self._signatures[name])}" for name in names)
        inputs = Field(
            "inputs",
            "text",
            f"A JSON object by input: nested lists, or an object of shape and data (in base64, little-endian). {takes}.",
            required=True,
        )
        which = Field("component", "choice", "Which graph.", default=names[0], choices=names)
        return (inputs, which) if len(names) > 1 else (inputs,)

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Raises BadRequest, with everything that is wrong, for inputs that do not fit the graph."""
        name = str(form.get("component", next(iter(self._signatures))))
        arrays = read_inputs(str(form["inputs"]), self._signatures[name])
        if cancelled():
            raise Cancelled
        try:
            outputs = self._components.session(name).run(arrays)
        except BadRequest as refusal:  # of what no bucket holds
            raise BadRequest(str(refusal), field="inputs") from None
        except Exception as error:
            if type(error).__name__ not in _REFUSALS:
                raise
            raise BadRequest(f"the graph refuses these inputs: {error}", field="inputs") from error
        return Answer(write_outputs(outputs), "application/json")


def create(components: Components) -> Graphs:
    """The server's entry."""
    return Graphs(components)


def read_signatures(document: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The inputs of each component, by name."""
    return {
        component: {name: read_tensor(each) for name, each in signature["inputs"].items()}
        for component, signature in document.items()
    }


def read_tensor(document: Mapping[str, Any]) -> Tensor:
    shape = document["shape"]
    return Tensor(document["dtype"], None if shape is None else tuple(shape))


def describe(inputs: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor.dtype} {describe_axes(tensor.shape)}" for name, tensor in inputs.items())


def describe_axes(shape: Sequence[int | str] | None) -> str:
    return "of any shape" if shape is None else f"[{', '.join(map(str, shape))}]"


def read_inputs(text: str, wanted: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"'inputs' is no JSON: {error}", field="inputs") from None
    if not isinstance(given, dict):
        raise BadRequest("'inputs' should be an object of nested lists by input's name.", field="inputs")
    wrong = [f"{name} is no input{suggest(name, list(wanted))}" for name in given if name not in wanted]
    wrong += [f"{name} is missing" for name in wanted if name not in given]
    arrays: dict[str, np.ndarray] = {}
    for name in (each for each in wanted if each in given):
        try:
            arrays[name] = read_array(given[name], wanted[name].dtype)
        except (ValueError, TypeError, OverflowError) as error:
            wrong.append(f"{name}: {error}")
    shapes = {name: array.shape for name, array in arrays.items()}
    misfits = find_misfits(shapes, {name: tensor.shape for name, tensor in wanted.items()})
    wrong += [f"{name}: {misfit}" for name, misfit in misfits.items()]
    if wrong:
        raise BadRequest(f"'inputs' does not fit the graph: {'; '.join(sorted(wrong))}.", field="inputs")
    return arrays


def read_array(value: object, dtype: str) -> np.ndarray:
    """Nested lists, or an object of shape and data. Raises ValueError, TypeError or OverflowError, saying what is wrong."""
    if isinstance(value, dict):
        return read_data(value, dtype)
    found = np.asarray(value)
    if dtype == "string":
        if found.dtype.kind != "U" and found.size:
            raise ValueError("should be nested lists of text, all of one length at each depth")
        return np.asarray(value, object)
    if found.dtype == object or found.dtype.kind not in "bif":
        raise ValueError("should be nested lists of numbers, all of one length at each depth")
    if np.dtype(dtype).kind in "iu" and found.dtype.kind == "f" and not np.all(found == np.floor(found)):
        raise ValueError("should be whole numbers")
    return np.asarray(value, dtype)  # which refuses whole numbers that the type has no room for


def read_data(value: Mapping[str, Any], dtype: str) -> np.ndarray:
    """A tensor of many numbers: ``{"shape": [1, 3, 640, 640], "data": "…"}``."""
    from base64 import b64decode  # of what most requests have no use for

    shape, data = value.get("shape"), value.get("data")
    if value.keys() != {"shape", "data"} or not isinstance(data, str) or not isinstance(shape, list):
        raise ValueError("should be nested lists, or an object of shape (a list) and data (base64)")
    if dtype == "string" or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("text is given as nested lists" if dtype == "string" else "shape should be a list of lengths")
    content, kind = b64decode(data, validate=True), np.dtype(dtype).newbyteorder("<")
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"data has {len(content)} bytes, {dtype} {shape} has {math.prod(shape) * kind.itemsize}")
    return np.frombuffer(content, kind).reshape(shape).astype(dtype)


def write_outputs(outputs: Mapping[str, np.ndarray]) -> bytes:
    """What is no number is null, which JSON has."""
    return json.dumps({"outputs": {name: plain(array.tolist()) for name, array in outputs.items()}}).encode()


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
