"""What a graph takes and gives: names, element types and shapes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from entrypoints.shapes import Axes, find_misfits, is_named
from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError

STRING = "string"
_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "int8": "int8", "int16": "int16",
    "int32": "int32", "int64": "int64", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
    "string": STRING,
}  # fmt: skip


@dataclass(frozen=True)
class TensorSignature:
    """``dtype`` is numpy's word, or ``string``. An axis of ``shape`` is a length, or the name of one that is free; None stands
    for a tensor of any rank."""

    name: str
    dtype: str
    shape: Axes | None

    @property
    def axes(self) -> Axes:
        """None of a tensor of any rank."""
        return self.shape or ()

    def document(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True)
class Signature:
    """The tensors of a graph, in its own order."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]

    def document(self) -> dict[str, Any]:
        return {
            "inputs": {each.name: each.document() for each in self.inputs},
            "outputs": {each.name: each.document() for each in self.outputs},
        }


def read_signature(component: str, session: ort.InferenceSession, rankless: Collection[str] = ()) -> Signature:
    """``rankless`` tensors have no shape, which ONNX Runtime describes as a scalar's. Raises BakeError for what is no tensor of
    numbers or text: sequences, maps."""
    return Signature(
        tuple(read_tensors(component, session.get_inputs(), rankless)),
        tuple(read_tensors(component, session.get_outputs(), rankless)),
    )


def read_tensor(name: str, text: str) -> TensorSignature:
    """``float32[batch, 3]``, as image.yaml has it."""
    dtype, _, shape = text.rstrip("] ").partition("[")
    axes = [axis.strip() for axis in shape.split(",") if axis.strip()]
    return TensorSignature(name, dtype, tuple(int(axis) if axis.isdecimal() else axis for axis in axes))


def infer_tensor(name: str, arrays: Sequence[Array]) -> TensorSignature:
    """What several runs gave: an axis whose length differed is free."""
    lengths = [set(axis) for axis in zip(*(array.shape for array in arrays), strict=True)]
    shape = tuple(each.pop() if len(each) == 1 else f"{name}.{n}" for n, each in enumerate(lengths))
    return TensorSignature(name, str(arrays[0].dtype), shape)


def fit_inputs(component: str, signature: Signature, given: Mapping[str, Any]) -> dict[str, Array]:
    """A sample's nested lists or arrays as arrays, their shapes judged as the container judges a request's. Raises BakeError
    where they do not fit, naming each input."""
    wanted = {each.name: each for each in signature.inputs}
    faults = [f"{name} is no input" for name in given if name not in wanted]
    faults += [f"{name} is missing" for name in wanted if name not in given]
    arrays: dict[str, Array] = {}
    for name in (each for each in wanted if each in given):
        try:
            arrays[name] = _fitted(given[name], wanted[name].dtype)
        except (ValueError, TypeError, OverflowError) as error:
            faults.append(f"{name}: {error}")
    shapes = {name: array.shape for name, array in arrays.items()}
    misfits = find_misfits(shapes, {name: each.shape for name, each in wanted.items()})
    faults += [f"{name} {misfit}" for name, misfit in misfits.items()]
    if faults:
        raise BakeError(f"{component}: its sample does not fit: {'; '.join(faults)}.", next_action="Correct it.")
    return arrays


def _fitted(value: Any, dtype: str) -> Array:
    found = np.asarray(value)
    if dtype == STRING:
        if found.dtype.kind not in "UO" or not all(isinstance(each, str) for each in found.reshape(-1).tolist()):
            raise ValueError("should be text")
        return found.astype(object)
    return found.astype(dtype) if isinstance(value, np.ndarray) else np.asarray(value, dtype=dtype)


def read_tensors(component: str, nodes: Sequence[Any], rankless: Collection[str] = ()) -> Iterator[TensorSignature]:
    """Of ONNX Runtime's descriptions of inputs or outputs. Raises as ``read_signature``."""
    for node in nodes:
        kind = re.fullmatch(r"tensor\((\w+)\)", node.type)
        if kind is None or kind[1] not in _TYPES:
            raise BakeError(
                f"{component}: '{node.name}' is {node.type}, which is no tensor of numbers or text.",
                next_action="Give the image an export.py and a model.py that make numbers of it.",
            )
        shape = None if node.name in rankless else name_axes(node.name, node.shape)
        yield TensorSignature(node.name, _TYPES[kind[1]], shape)


def name_axes(tensor: str, axes: Sequence[int | str | None]) -> Axes:
    """Axes whose names tell them from others: one without such a name is called by its tensor and its place."""
    given = list(axes)

    def name(place: int, axis: int | str | None) -> int | str:
        if isinstance(axis, int) and axis >= 0:
            return axis
        own = axis if isinstance(axis, str) and is_named(axis) and given.count(axis) == 1 else None
        return own or f"{tensor}.{place}"

    return tuple(name(place, axis) for place, axis in enumerate(given))
