"""The model of an image without code of its own: it takes a graph's inputs as JSON and returns its outputs as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from entrypoints.contract import Answer, BadRequest, Cancellation, Cancelled, Components, Field
from entrypoints.manifest.shape_buckets import find_shape_mismatches
from entrypoints.suggestion import suggest

SIGNATURES = "tensors.json"
MOST_PROBLEMS = 20
"""The most problems that a message lists: a request may have any number of unknown names."""
_LONGEST_NAME = 100
"""Characters of an unknown name that are repeated."""
_MOST_AXES, _LONGEST_AXIS = 64, 1 << 40


class InputSignature(NamedTuple):
    """``dtype`` is numpy's name, or ``string``. An axis is a length, or the name of a dynamic one; a ``shape`` of None allows
    any rank."""

    dtype: str
    shape: tuple[int | str, ...] | None


class TensorModel:
    """Each request names a component; the default is the first one."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._signatures = read_signatures(json.loads(components.path(SIGNATURES).read_bytes()))

    @property
    def fields(self) -> Sequence[Field]:
        names = tuple(self._signatures)
        signatures = "; ".join(f"{name}: {describe_inputs(self._signatures[name])}" for name in names)
        inputs = Field(
            "inputs",
            "text",
            f"A JSON object by input: nested lists, or an object of shape and data (in base64, little-endian). {signatures}.",
            required=True,
        )
        component = Field("component", "choice", "Which graph.", default=names[0], choices=names)
        return (inputs, component) if len(names) > 1 else (inputs,)

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Raises BadRequest, with every problem, if inputs do not fit the graph."""
        name = str(form.get("component", next(iter(self._signatures))))
        arrays = read_inputs(str(form["inputs"]), self._signatures[name])
        if cancelled():
            raise Cancelled
        try:
            outputs = self._components.session(name).run(arrays)
        except BadRequest as error:  # inputs that no bucket holds
            raise BadRequest(str(error), field="inputs") from None
        except Exception as error:
            from entrypoints.runtime.input_errors import is_input_error  # only faults need it

            if not is_input_error(error):
                raise
            raise BadRequest(f"the graph refuses these inputs: {error}", field="inputs") from error
        if cancelled():
            raise Cancelled
        return Answer(write_outputs(outputs), "application/json")


def create(components: Components) -> TensorModel:
    """Called by the server (``entrypoints.contract``)."""
    return TensorModel(components)


def read_signatures(document: Mapping[str, Any]) -> dict[str, dict[str, InputSignature]]:
    """The inputs of each component, by name."""
    return {
        component: {name: read_signature(tensor) for name, tensor in signature["inputs"].items()}
        for component, signature in document.items()
    }


def read_signature(document: Mapping[str, Any]) -> InputSignature:
    shape = document["shape"]
    return InputSignature(document["dtype"], None if shape is None else tuple(shape))


def describe_inputs(inputs: Mapping[str, InputSignature]) -> str:
    return ", ".join(f"{name} {tensor.dtype} {describe_axes(tensor.shape)}" for name, tensor in inputs.items())


def describe_axes(shape: Sequence[int | str] | None) -> str:
    return "of any shape" if shape is None else f"[{', '.join(map(str, shape))}]"


def read_inputs(text: str, wanted: Mapping[str, InputSignature]) -> dict[str, np.ndarray]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"'inputs' is not JSON: {error}", field="inputs") from None
    if not isinstance(given, dict):
        raise BadRequest("'inputs' should be an object of nested lists by input's name.", field="inputs")
    unknown = [name for name in given if name not in wanted]
    wrong = [f"{name[:_LONGEST_NAME]} is not an input{suggest(name, list(wanted))}" for name in unknown[:MOST_PROBLEMS]]
    if len(unknown) > MOST_PROBLEMS:
        wrong.append(f"{len(unknown) - MOST_PROBLEMS} more are not inputs")
    wrong += [f"{name} is missing" for name in wanted if name not in given]
    arrays: dict[str, np.ndarray] = {}
    for name in (name for name in wanted if name in given):
        try:
            arrays[name] = read_array(given[name], wanted[name].dtype)
        except (ValueError, TypeError, OverflowError) as error:
            wrong.append(f"{name}: {error}")
    shapes = {name: array.shape for name, array in arrays.items()}
    misfits = find_shape_mismatches(shapes, {name: tensor.shape for name, tensor in wanted.items()})
    wrong += [f"{name}: {misfit}" for name, misfit in misfits.items()]
    if wrong:
        raise BadRequest(f"'inputs' does not fit the graph: {'; '.join(sorted(wrong))}.", field="inputs")
    return arrays


def read_array(value: object, dtype: str) -> np.ndarray:
    """Nested lists, or an object of shape and data. Raises ValueError, TypeError or OverflowError with the problem."""
    if isinstance(value, dict):
        return read_base64(value, dtype)
    # Objects first: numpy gives every text of an array the length of the longest, which may be a million times the request.
    objects = np.asarray(value, object)
    kinds = set(map(type, objects.flat))
    if dtype == "string":
        if not kinds <= {str}:
            raise ValueError("should be nested lists of text, all of one length at each depth")
        return objects
    if not kinds <= {bool, int, float}:
        raise ValueError("should be nested lists of numbers, all of one length at each depth")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise OverflowError("has a number that is too large")
    if np.dtype(dtype).kind in "iu" and array.dtype.kind == "f" and not np.all(array == np.floor(array)):
        raise ValueError("should be whole numbers")
    return np.asarray(value, dtype)  # it raises OverflowError for integers that the type cannot hold


def read_base64(value: Mapping[str, Any], dtype: str) -> np.ndarray:
    """A tensor of many numbers: ``{"shape": [1, 3, 640, 640], "data": "…"}``."""
    from base64 import b64decode  # which most requests do not use

    shape, data = value.get("shape"), value.get("data")
    if value.keys() != {"shape", "data"} or not isinstance(data, str) or not isinstance(shape, list):
        raise ValueError("should be nested lists, or an object of shape (a list) and data (base64)")
    if len(shape) > _MOST_AXES:
        raise ValueError(f"shape has {len(shape)} axes, more than {_MOST_AXES}")
    if dtype == "string" or not all(type(length) is int and 0 <= length <= _LONGEST_AXIS for length in shape):
        raise ValueError("text is given as nested lists" if dtype == "string" else "shape should be a list of lengths")
    content, kind = b64decode(data, validate=True), np.dtype(dtype).newbyteorder("<")
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"data has {len(content)} bytes, {dtype} {shape} has {math.prod(shape) * kind.itemsize}")
    return np.frombuffer(content, kind).reshape(shape).astype(dtype)


def write_outputs(outputs: Mapping[str, np.ndarray]) -> bytes:
    """NaN and infinities become null, as JSON has none."""
    return json.dumps(
        {"outputs": {name: replace_non_finite(array.tolist()) for name, array in outputs.items()}}
    ).encode()


def replace_non_finite(value: Any) -> Any:
    if isinstance(value, list):
        return [replace_non_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
