"""Names, dtypes and shapes of a graph's inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from entrypoints.manifest.shape_buckets import Axes, find_shape_mismatches, is_named
from prebake.bake.errors import BakeError
from prebake.bake.weights.dtypes import NAME_BY_ONNX, STRING
from prebake.bake.weights.numpy_arrays import Array


@dataclass(frozen=True)
class TensorSignature:
    """One input or output."""

    name: str
    dtype: str
    """numpy's name, or ``string``."""
    shape: Axes | None
    """Each axis is a length, or the name of a dynamic axis. None if the rank is unknown."""

    @property
    def axes(self) -> Axes:
        """The axes; empty if the rank is unknown."""
        return self.shape or ()

    def to_dict(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph, in its order."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "inputs": {tensor.name: tensor.to_dict() for tensor in self.inputs},
            "outputs": {tensor.name: tensor.to_dict() for tensor in self.outputs},
        }


def read_signature(component: str, session: ort.InferenceSession, rankless: Collection[str] = ()) -> Signature:
    """The signature of a session. ``rankless``: tensors of unknown rank, which ONNX Runtime reports as scalars.

    Raises BakeError for inputs and outputs that are not tensors of numbers or text, such as sequences and maps.
    """
    return Signature(
        tuple(read_tensors(component, session.get_inputs(), rankless)),
        tuple(read_tensors(component, session.get_outputs(), rankless)),
    )


def parse_tensor(name: str, text: str) -> TensorSignature:
    """Parse ``float32[batch, 3]``, the notation of image.yaml."""
    dtype, _, shape = text.rstrip("] ").partition("[")
    axes = [axis.strip() for axis in shape.split(",") if axis.strip()]
    return TensorSignature(name, dtype, tuple(int(axis) if axis.isdecimal() else axis for axis in axes))


def infer_tensor(name: str, arrays: Sequence[Array]) -> TensorSignature:
    """The signature of an output from several runs. Axes whose length differed are dynamic."""
    axes = [set(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True)]
    shape = tuple(lengths.pop() if len(lengths) == 1 else f"{name}.{index}" for index, lengths in enumerate(axes))
    return TensorSignature(name, str(arrays[0].dtype), shape)


def fit_inputs(component: str, signature: Signature, given: Mapping[str, Any]) -> dict[str, Array]:
    """Convert a sample's nested lists to arrays, and check shapes by the container's rules for requests.

    Raises BakeError that lists every input that does not fit.
    """
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    faults = [f"{name} is not an input" for name in given if name not in tensors]
    faults += [f"{name} is missing" for name in tensors if name not in given]
    arrays: dict[str, Array] = {}
    for name in (name for name in tensors if name in given):
        try:
            arrays[name] = _to_array(given[name], tensors[name].dtype)
        except (ValueError, TypeError, OverflowError) as error:
            faults.append(f"{name}: {error}")
    shapes = {name: array.shape for name, array in arrays.items()}
    misfits = find_shape_mismatches(shapes, {name: tensor.shape for name, tensor in tensors.items()})
    faults += [f"{name} {misfit}" for name, misfit in misfits.items()]
    if faults:
        raise BakeError(
            f"{component}: the sample does not fit the graph's inputs: {'; '.join(faults)}.",
            next_action="correct the sample file",
        )
    return arrays


def _to_array(value: Any, dtype: str) -> Array:
    array = np.asarray(value)
    if dtype == STRING:
        if array.dtype.kind not in "UO" or not all(isinstance(item, str) for item in array.reshape(-1).tolist()):
            raise ValueError("should be text")
        return array.astype(object)
    return array.astype(dtype) if isinstance(value, np.ndarray) else np.asarray(value, dtype=dtype)


def read_tensors(component: str, nodes: Sequence[Any], rankless: Collection[str] = ()) -> Iterator[TensorSignature]:
    """Convert ONNX Runtime's descriptions of inputs or outputs. Raises as ``read_signature``."""
    for node in nodes:
        kind = re.fullmatch(r"tensor\((\w+)\)", node.type)
        if kind is None or kind[1] not in NAME_BY_ONNX:
            raise BakeError(
                f"{component}: '{node.name}' is {node.type}, not a tensor of numbers or text.",
                next_action="write export.py and model.py for the image, and convert it to a tensor there",
            )
        shape = None if node.name in rankless else name_axes(node.name, node.shape)
        yield TensorSignature(node.name, NAME_BY_ONNX[kind[1]], shape)


def name_axes(tensor: str, axes: Sequence[int | str | None]) -> Axes:
    """Axes with unambiguous names. One without such a name is called ``TENSOR.INDEX``."""
    given = list(axes)

    def name(index: int, axis: int | str | None) -> int | str:
        if isinstance(axis, int) and axis >= 0:
            return axis
        if isinstance(axis, str) and is_named(axis) and given.count(axis) == 1:
            return axis
        return f"{tensor}.{index}"

    return tuple(name(index, axis) for index, axis in enumerate(given))
