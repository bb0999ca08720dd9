"""What a graph takes and gives: names, element types and shapes, and inputs made up to fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError

_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "int8": "int8", "int16": "int16",
    "int32": "int32", "int64": "int64", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip


@dataclass(frozen=True)
class TensorSignature:
    """``dtype`` is numpy's word. An axis of ``shape`` is a length, or the name of one that is free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def document(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": list(self.shape)}


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


def read_signature(component: str, session: ort.InferenceSession) -> Signature:
    """Raises BakeError for what is no tensor of numbers: strings, sequences, maps."""
    return Signature(
        tuple(_tensors(component, session.get_inputs())), tuple(_tensors(component, session.get_outputs()))
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


def make_inputs(signature: Signature, size: int, seed: int) -> dict[str, Array]:
    """Inputs with ``size`` for every free axis: normal numbers; whole ones of 0 and 1, which are words of any vocabulary and
    a mask's, the first of each row 1 so that no row is masked out."""
    random = np.random.default_rng(seed)
    return {each.name: _values(random, each, size) for each in signature.inputs}


def fit_inputs(component: str, signature: Signature, given: Mapping[str, Any]) -> dict[str, Array]:
    """A sample's nested lists as arrays. Raises BakeError where they do not fit, naming each input."""
    wanted = {each.name: each for each in signature.inputs}
    faults = [f"{name} is no input" for name in given if name not in wanted]
    faults += [f"{name} is missing" for name in wanted if name not in given]
    arrays: dict[str, Array] = {}
    for name in wanted.keys() & given.keys():
        try:
            arrays[name] = np.asarray(given[name], dtype=wanted[name].dtype)
        except (ValueError, TypeError) as error:
            faults.append(f"{name}: {error}")
        else:
            if not _fits(arrays[name].shape, wanted[name].shape):
                faults.append(f"{name} has the shape {list(arrays[name].shape)}, not {list(wanted[name].shape)}")
    if faults:
        raise BakeError(f"{component}: sample.json does not fit: {'; '.join(faults)}.", next_action="Correct it.")
    return arrays


def _tensors(component: str, nodes: Sequence[Any]) -> Iterator[TensorSignature]:
    for node in nodes:
        kind = re.fullmatch(r"tensor\((\w+)\)", node.type)
        if kind is None or kind[1] not in _TYPES:
            raise BakeError(
                f"{component}: '{node.name}' is {node.type}, which is no tensor of numbers.",
                next_action="Give the image an export.py and a model.py that make numbers of it.",
            )
        shape = [axis if isinstance(axis, int) else axis or f"{node.name}.{n}" for n, axis in enumerate(node.shape)]
        yield TensorSignature(node.name, _TYPES[kind[1]], tuple(shape))


def _values(random: np.random.Generator, tensor: TensorSignature, size: int) -> Array:
    shape = [axis if isinstance(axis, int) else size for axis in tensor.shape]
    if tensor.dtype.startswith("float"):
        return random.standard_normal(shape).astype(tensor.dtype)
    values = random.integers(0, 2, shape).astype(tensor.dtype)
    if values.ndim:
        values[..., :1] = 1
    return values


def _fits(shape: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(axis, str) or axis == length for length, axis in zip(shape, wanted, strict=True)
    )
