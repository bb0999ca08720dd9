"""Antialiased bicubic resizing of 8-bit frames with a center crop, bit by bit equal to the framework's on a CPU.

The synchronization encoder was trained on frames that torch resized in 8 bits, and is compared on such frames. Torch's rule
(aten/src/ATen/native/cpu/UpSampleKernel.cpp): weights of the cubic a = -0.5, widened by the scale, normalized, and
rounded to 16-bit integers with as many fraction bits as the largest weight leaves; rows first, rounded to 8 bits, then
columns, rounded again. Pillow's filter has the same shape with 22 fraction bits and differs by a level here and there.

All values are integers in floats, so that the matrix library computes the sums; ``_exact`` chooses the float type in which no
sum is rounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 32
"""Outputs for each small matrix: wider ones multiply more zeros, narrower ones make more calls."""
_MIDDLE = 128
"""Subtracted from every level, which halves the largest sum and lets most scales be done in float32."""


class _Block(NamedTuple):
    outputs: slice
    inputs: slice
    weights: NDArray[np.floating]
    """``[inputs, outputs]``."""


class _Axis(NamedTuple):
    """One axis of a resize, for the outputs inside the crop only."""

    blocks: tuple[_Block, ...]
    bias: NDArray[np.floating]
    bits: int

    @property
    def span(self) -> slice:
        """The inputs that any output of the crop reads."""
        return slice(min(block.inputs.start for block in self.blocks), max(block.inputs.stop for block in self.blocks))


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _fixed_point(size: int, resized: int) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Integer weights ``[resized, taps]``, the first input of each output, and the fraction bits."""
    scale = size / resized
    support, inverse = 2 * max(scale, 1.0), 1 / max(scale, 1.0)
    centre = scale * (np.arange(resized) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size)
    taps = np.arange(int((last - first).max()))
    inside = taps < (last - first)[:, None]
    weights = np.where(inside, _cubic((taps + first[:, None] - centre[:, None] + 0.5) * inverse), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # a running sum, as torch adds: another order rounds otherwise
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weights * (1 << bits)
    return np.trunc(scaled + np.copysign(0.5, scaled)), first, bits


def _exact(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> type[np.floating]:
    largest = float((np.abs(weights).sum(axis=1) * _MIDDLE + np.abs(bias)).max())
    return np.float32 if largest < 1 << 24 else np.float64


def _block(weights: NDArray[np.floating], first: NDArray[np.int64], start: int, size: int) -> _Block:
    stop = min(start + _BLOCK, len(first))
    low, high = int(first[start]), min(int(first[stop - 1]) + weights.shape[1], size)
    dense = np.zeros((max(high - low, 0), stop - start), weights.dtype)
    for output in range(start, stop):
        offset = int(first[output]) - low
        taps = min(weights.shape[1], len(dense) - offset)
        dense[offset : offset + taps, output - start] = weights[output, :taps]
    return _Block(slice(start, stop), slice(low, high), dense)


@lru_cache(maxsize=16)
def _axis(size: int, resized: int, crop: int) -> _Axis:
    weights, first, bits = _fixed_point(size, resized)
    offset = round((resized - crop) / 2)
    weights, first = weights[offset : offset + crop], first[offset : offset + crop]
    # What is missing after subtracting the middle (weights need not add up to one exactly), and half a level to round.
    bias = _MIDDLE * (weights.sum(axis=1) - (1 << bits)) + (1 << (bits - 1))
    kind = _exact(weights, bias)
    blocks = tuple(_block(weights.astype(kind), first, start, size) for start in range(0, crop, _BLOCK))
    return _Axis(blocks, bias.astype(kind), bits)


def _settle(sums: NDArray[np.floating], axis: _Axis) -> NDArray[np.floating]:
    """Round sums to levels around the middle, in place."""
    sums *= 2.0**-axis.bits
    np.floor(sums, out=sums)
    return np.clip(sums, -_MIDDLE, _MIDDLE - 1, out=sums)


def _shrink_rows(levels: NDArray[np.floating], axis: _Axis) -> NDArray[np.floating]:
    """``[n, axis.span]`` to ``[n, crop]``."""
    sums = np.empty((len(levels), len(axis.bias)), levels.dtype)
    for block in axis.blocks:
        sums[:, block.outputs] = levels[:, _within(block.inputs, axis.span)] @ block.weights
    sums += axis.bias
    return _settle(sums, axis)


def _shrink_columns(levels: NDArray[np.floating], axis: _Axis) -> NDArray[np.floating]:
    """``[axis.span, n]`` to ``[crop, n]``."""
    sums = np.empty((len(axis.bias), levels.shape[1]), levels.dtype)
    for block in axis.blocks:
        np.matmul(block.weights.T, levels[_within(block.inputs, axis.span)], out=sums[block.outputs])
    sums += axis.bias[:, None]
    return _settle(sums, axis)


def _within(inputs: slice, span: slice) -> slice:
    return slice(inputs.start - span.start, inputs.stop - span.start)


def resize_short_side(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``[height, width, 3]`` to its center ``[3, side, side]``, after the short side became ``side`` long."""
    height, width = frame.shape[:2]
    short = min(height, width)
    rows = _axis(height, int(side * height / short), side)
    columns = _axis(width, int(side * width / short), side)
    seen = frame[rows.span, columns.span].transpose(0, 2, 1)
    levels = np.subtract(seen, _MIDDLE, dtype=columns.bias.dtype, order="C").reshape(-1, seen.shape[2])
    narrow = _shrink_rows(levels, columns).astype(rows.bias.dtype, copy=False).reshape(len(seen), -1)
    small = _shrink_columns(narrow, rows) + _MIDDLE
    return np.ascontiguousarray(small.astype(np.uint8).reshape(side, 3, side).transpose(1, 0, 2))
