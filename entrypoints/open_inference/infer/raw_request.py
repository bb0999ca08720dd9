"""A request without JSON: "Raw Binary Request" of the binary tensor extension."""

from __future__ import annotations

import math

import numpy as np

from entrypoints.open_inference.dtypes import BYTES, ELEMENT_BYTES
from entrypoints.open_inference.infer.inputs import Reserve, measure_binary
from entrypoints.open_inference.infer.parameters import refuse
from entrypoints.open_inference.infer.tensor_data import Shape, read_binary
from entrypoints.open_inference.models import OfferedModel, Tensor


def read_raw_request(model: OfferedModel, content: bytes, reserve: Reserve) -> dict[str, np.ndarray]:
    """The model's only input, of a body that is nothing but its data.

    BYTES are one element, without its length. Another shape may have one dynamic axis, whose length follows from the size.
    Raises BadRequest (400).
    """
    if len(model.inputs) != 1:
        raise refuse(model.name, f"without a JSON header it should have one input, it has {len(model.inputs)}")
    ((name, tensor),) = model.inputs.items()
    shape = find_raw_shape(tensor, len(content))
    if shape is None:
        raise refuse(model.name, f"the shape of {name} does not follow from {len(content)} bytes: send a JSON header")
    reserve(measure_binary(tensor.datatype, shape, len(content)), "the tensor")
    try:
        data = len(content).to_bytes(4, "little") + content if tensor.datatype == BYTES else content
        return {name: read_binary(data, 0, len(data), tensor.datatype, shape)}
    except (ValueError, OverflowError) as error:
        raise refuse(model.name, f"{name}: {error}") from None


def find_raw_shape(tensor: Tensor, size: int) -> Shape | None:
    """None if it does not follow from the size."""
    if tensor.shape is None:
        return None
    dynamic = sum(isinstance(axis, str) for axis in tensor.shape)
    fixed = math.prod(axis for axis in tensor.shape if isinstance(axis, int))
    if tensor.datatype == BYTES:
        return tuple(1 for _ in tensor.shape) if fixed == 1 and dynamic == 0 else None
    if dynamic > 1 or (dynamic and not fixed):
        return None
    length = size // (fixed * ELEMENT_BYTES[tensor.datatype]) if dynamic else 0
    return tuple(axis if isinstance(axis, int) else length for axis in tensor.shape)
