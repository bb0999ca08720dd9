"""Shape buckets: the lengths that inputs are padded to along a component's dynamic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

Lengths = Mapping[str, int]
"""The length of each dynamic axis, by the axis' name."""
Axes = tuple[int | str, ...]
"""The axes of one tensor: each is a length, or the name of a dynamic axis."""
Shapes = Mapping[str, Axes]
"""The axes of each tensor, by the tensor's name."""
_NAMELESS = ("", "?", "-1", "None")
"""Placeholders of exporters for a dynamic axis without a name: Paddle2ONNX writes `?` for every one."""

ACCEPTS_ANY, ACCEPTS_RANGE, ACCEPTS_BUCKETS = ACCEPTS = ("any", "range", "buckets")
"""The shapes that an artifact can run: every shape, every length from the smallest bucket of its component to the largest, or
the shapes of the buckets only."""


class Buckets(NamedTuple):
    """``shapes``: the buckets, all of the same axes. ``pad``: the padding value of each input that may be padded. ``overflow``:
    what to do with inputs larger than every bucket. ``error`` rejects the request, ``dynamic`` runs the graph unpadded."""

    shapes: tuple[Lengths, ...]
    pad: Mapping[str, float] = {}
    overflow: str = "error"

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(self.shapes[0])


def is_named(axis: int | str) -> bool:
    """Whether an axis is dynamic and has a real name. tf2onnx numbers axes without one: `unk__12`."""
    return isinstance(axis, str) and axis not in _NAMELESS and not axis.startswith("unk__")


def find_shape_mismatches(given: Mapping[str, Sequence[int]], expected: Mapping[str, Axes | None]) -> dict[str, str]:
    """The mismatches of the shapes in ``given``, by tensor. Tensors that ``expected`` lacks are not checked; axes of None accept
    any shape.

    The builder checks samples with it, and the container checks requests. Axes of the same name must have the same length in all
    tensors. Axes without a real name, or whose name occurs twice in one tensor, are left to ONNX Runtime.
    """
    wrong: dict[str, str] = {}
    lengths: dict[int | str, int] = {}
    for name, axes in expected.items():
        shape = given.get(name)
        if shape is None or axes is None:
            continue
        if len(shape) != len(axes):
            wrong[name] = f"has {len(shape)} axes, should have {len(axes)}"
            continue
        for length, axis in zip(shape, axes, strict=True):
            bound = is_named(axis) and axes.count(axis) == 1
            required = axis if isinstance(axis, int) else lengths.setdefault(axis, length) if bound else length
            if length != required:
                wrong[name] = f"has the shape {list(shape)}, should have {list(axes)}"
    return wrong


def find_padded_axes(buckets: Buckets, inputs: Shapes) -> frozenset[str]:
    """The axes that may be padded: every input with such an axis has a padding value."""
    return frozenset(
        axis for axis in buckets.axes if all(name in buckets.pad for name, shape in inputs.items() if axis in shape)
    )


def fits_bucket(shape: Lengths, lengths: Lengths, padded: frozenset[str]) -> bool:
    """Whether inputs of these lengths can be padded to the bucket ``shape``. An empty axis is never padded: a graph's output for
    no rows need not be a part of its output for some rows."""
    return all(
        1 <= lengths[axis] <= length if axis in padded else lengths[axis] == length for axis, length in shape.items()
    )


def find_range(shapes: Sequence[Lengths]) -> tuple[Lengths, Lengths]:
    """The smallest and the largest length of each axis."""
    axes = tuple(shapes[0])
    shortest, longest = ({axis: pick(shape[axis] for shape in shapes) for axis in axes} for pick in (min, max))
    return shortest, longest


def lies_between(shapes: Sequence[Lengths], lengths: Lengths) -> bool:
    """Whether every length is from the smallest bucket's to the largest's."""
    shortest, longest = find_range(shapes)
    return all(shortest[axis] <= length <= longest[axis] for axis, length in lengths.items())


def sort_by_elements(buckets: Buckets, inputs: Shapes) -> tuple[Lengths, ...]:
    """The buckets, those with the fewest elements first. A dynamic axis that no bucket names counts as 1."""

    def count(shape: Lengths) -> int:
        return sum(
            prod(axis if isinstance(axis, int) else shape.get(axis, 1) for axis in axes) for axes in inputs.values()
        )

    return tuple({axis: shape[axis] for axis in buckets.axes} for shape in sorted(buckets.shapes, key=count))


def describe_lengths(lengths: Lengths) -> str:
    """``batch 8, tokens 128``."""
    return ", ".join(f"{axis} {length}" for axis, length in lengths.items())


def describe_limits(shapes: tuple[Lengths, ...], padded: frozenset[str]) -> str:
    """``batch 1 to 8, tokens 1 to 128`` for each bucket. An axis that is not padded has one length."""
    return " or ".join(
        ", ".join(
            f"{axis} 1 to {length}" if axis in padded and length > 1 else f"{axis} {length}"
            for axis, length in shape.items()
        )
        for shape in shapes
    )
