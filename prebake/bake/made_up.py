"""Inputs made up to fit a graph's signature."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.signature import STRING, Signature, TensorSignature

Lengths = Mapping[str, int]
"""Of free axes, by name."""
PLAIN, ZEROS, COUNTS = VALUES = ("plain", "zeros", "counts")
"""What whole numbers are made of: 0 and 1, which are words of any vocabulary and a mask's; zeros, which index anything; or, of
scalars and vectors, the longest free axis, as an input that tells the length of another holds."""
_RATES = re.compile(r"sr|(sample|sampling)_?rate|rate", re.IGNORECASE)
_RATE = 16_000
_WORDS = ("a", "small", "word", "of", "text")


def make_inputs(signature: Signature, size: int, seed: int) -> dict[str, Array]:
    """Inputs with ``size`` for every free axis."""
    return make_inputs_of(signature, dict.fromkeys(free_axes(signature), size), seed)


def make_inputs_of(
    signature: Signature, lengths: Lengths, seed: int, values: str = PLAIN, rank: int = 2
) -> dict[str, Array]:
    """Inputs with these lengths of free axes; tensors of any rank get ``rank`` axes of the longest of them, or of 2.

    Floats are normal numbers, bytes with three axes or more are a picture's, and the first of each row of other whole numbers is
    1, so that no row is masked out.
    """
    random = np.random.default_rng(seed)
    longest = max(lengths.values(), default=2)

    def make(each: TensorSignature) -> Array:
        if each.shape is None:
            return fill(random, each, (longest,) * rank, values)
        return fill(
            random, each, tuple(lengths[axis] if isinstance(axis, str) else axis for axis in each.shape), values
        )

    made = {each.name: make(each) for each in signature.inputs}
    if values == COUNTS:
        counts = {name: array for name, array in made.items() if array.dtype.kind in "iu" and array.ndim <= 1}
        made |= {name: np.full_like(array, longest) for name, array in counts.items()}
    return made


def fill(random: np.random.Generator, tensor: TensorSignature, shape: tuple[int, ...], values: str = PLAIN) -> Array:
    """Values of a tensor's type."""
    if tensor.dtype == STRING:
        words = [_WORDS[each % len(_WORDS)] for each in range(math.prod(shape))]
        return np.array(words, object).reshape(shape)
    if tensor.dtype.startswith("float"):
        return random.standard_normal(shape).astype(tensor.dtype)
    if not shape and tensor.dtype != "bool" and _RATES.fullmatch(tensor.name):
        return np.array(_RATE).astype(tensor.dtype)
    if values == ZEROS:
        return np.zeros(shape, tensor.dtype)
    if tensor.dtype == "uint8" and len(shape) >= 3:
        return random.integers(0, 256, shape).astype(tensor.dtype)
    made = random.integers(0, 2, shape).astype(tensor.dtype)
    if made.ndim:
        made[..., :1] = 1
    return made


def free_axes(signature: Signature) -> list[str]:
    """Names of the inputs' free axes, in the order in which they come."""
    return list(dict.fromkeys(axis for each in signature.inputs for axis in each.axes if isinstance(axis, str)))
