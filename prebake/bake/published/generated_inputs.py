"""Generates random inputs that fit a graph's signature."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from prebake.bake.importers.signature import Signature, TensorSignature
from prebake.bake.weights.dtypes import STRING
from prebake.bake.weights.numpy_arrays import Array

Lengths = Mapping[str, int]
"""Lengths of dynamic axes, by name."""
PLAIN, ZEROS, COUNTS = VALUE_KINDS = ("plain", "zeros", "counts")
"""Values of integer inputs: random 0 and 1, which are valid token ids and masks; zeros, which are valid indices; or, for scalars
and vectors, the length of the longest dynamic axis, for inputs that hold another input's length."""
_SAMPLE_RATE_NAME = re.compile(r"sr|(sample|sampling)_?rate|rate", re.IGNORECASE)
_SAMPLE_RATE_HZ = 16_000
_WORDS = ("a", "small", "word", "of", "text")


def generate_uniform_inputs(signature: Signature, size: int, seed: int) -> dict[str, Array]:
    """Inputs in which every dynamic axis has length ``size``."""
    return generate_inputs(signature, dict.fromkeys(dynamic_axes(signature), size), seed)


def generate_inputs(
    signature: Signature, lengths: Lengths, seed: int, values: str = PLAIN, rank: int = 2
) -> dict[str, Array]:
    """Inputs with these lengths of dynamic axes. A tensor of unknown rank gets ``rank`` axes, each as long as the longest dynamic
    axis, or 2.

    Floats are normally distributed. uint8 with three axes or more is an image. In each row of other integers the first value is
    1, so that a mask does not exclude the whole row.
    """
    random = np.random.default_rng(seed)
    longest = max(lengths.values(), default=2)

    def generate(tensor: TensorSignature) -> Array:
        if tensor.shape is None:
            return fill(random, tensor, (longest,) * rank, values)
        shape = tuple(lengths[axis] if isinstance(axis, str) else axis for axis in tensor.shape)
        return fill(random, tensor, shape, values)

    inputs = {tensor.name: generate(tensor) for tensor in signature.inputs}
    if values == COUNTS:
        counts = {name: array for name, array in inputs.items() if array.dtype.kind in "iu" and array.ndim <= 1}
        inputs |= {name: np.full_like(array, longest) for name, array in counts.items()}
    return inputs


def fill(random: np.random.Generator, tensor: TensorSignature, shape: tuple[int, ...], values: str = PLAIN) -> Array:
    """An array of ``shape`` with values of the tensor's dtype."""
    if tensor.dtype == STRING:
        words = [_WORDS[index % len(_WORDS)] for index in range(math.prod(shape))]
        return np.array(words, object).reshape(shape)
    if tensor.dtype.startswith("float"):
        return random.standard_normal(shape).astype(tensor.dtype)
    if not shape and tensor.dtype != "bool" and _SAMPLE_RATE_NAME.fullmatch(tensor.name):
        return np.array(_SAMPLE_RATE_HZ).astype(tensor.dtype)
    if values == ZEROS:
        return np.zeros(shape, tensor.dtype)
    if tensor.dtype == "uint8" and len(shape) >= 3:
        return random.integers(0, 256, shape).astype(tensor.dtype)
    array = random.integers(0, 2, shape).astype(tensor.dtype)
    if array.ndim:
        array[..., :1] = 1
    return array


def dynamic_axes(signature: Signature) -> list[str]:
    """Names of the inputs' dynamic axes, in order."""
    return list(dict.fromkeys(axis for tensor in signature.inputs for axis in tensor.axes if isinstance(axis, str)))
