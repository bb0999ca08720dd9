"""Shape buckets as values: the lengths that a component's free axes are brought to, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

Lengths = Mapping[str, int]
"""Of free axes, by name."""
Axes = tuple[int | str, ...]
"""The axes of one tensor: each is a length, or the name of a free axis."""
Shapes = Mapping[str, Axes]
"""Of tensors by name."""
_NAMELESS = ("", "?", "-1", "None")
"""Names that exporters give to an axis that they know no name for: Paddle2ONNX calls every one `?`."""

ANY, RANGE, ALONE = TAKES = ("any", "range", "buckets")
"""What a form of a graph takes: every shape, every length from the smallest of a component's buckets to the largest, or those
of the buckets alone."""


class Buckets(NamedTuple):
    """``shapes`` name the same axes each. ``pad``: the value that an input is padded with. ``outside``: ``error``, or
    ``dynamic`` where the graph takes what no bucket holds as it is."""

    shapes: tuple[Lengths, ...]
    pad: Mapping[str, float] = {}
    outside: str = "error"

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(self.shapes[0])


def is_named(axis: int | str) -> bool:
    """Whether an axis is free and its name tells it from others. tf2onnx counts axes without a name: `unk__12`."""
    return isinstance(axis, str) and axis not in _NAMELESS and not axis.startswith("unk__")


def find_misfits(given: Mapping[str, Sequence[int]], wanted: Mapping[str, Axes | None]) -> dict[str, str]:
    """What is wrong with the shapes of ``given``, by tensor; those that are not ``wanted`` are left out. None stands for any
    shape.

    The builder judges samples by this, and the container requests. Axes of the same name have the same length in all tensors.
    A name that tells nothing, or that one tensor has twice, promises nothing: ONNX Runtime judges those.
    """
    wrong: dict[str, str] = {}
    lengths: dict[int | str, int] = {}
    for name, axes in wanted.items():
        shape = given.get(name)
        if shape is None or axes is None:
            continue
        if len(shape) != len(axes):
            wrong[name] = f"has {len(shape)} axes, should have {len(axes)}"
            continue
        for length, axis in zip(shape, axes, strict=True):
            bound = is_named(axis) and axes.count(axis) == 1
            expected = axis if isinstance(axis, int) else lengths.setdefault(axis, length) if bound else length
            if length != expected:
                wrong[name] = f"has the shape {list(shape)}, should have {list(axes)}"
    return wrong


def find_padded(buckets: Buckets, inputs: Shapes) -> frozenset[str]:
    """The axes along which inputs may be padded: every input that has them has a value for it."""
    return frozenset(
        axis for axis in buckets.axes if all(name in buckets.pad for name, shape in inputs.items() if axis in shape)
    )


def holds(shape: Lengths, lengths: Lengths, padded: frozenset[str]) -> bool:
    """Whether inputs of these lengths can be brought to ``shape``. Nothing is made of an empty axis: what a graph answers to
    no rows need not be a part of what it answers to some."""
    return all(
        1 <= lengths[axis] <= length if axis in padded else lengths[axis] == length for axis, length in shape.items()
    )


def find_range(shapes: Sequence[Lengths]) -> tuple[Lengths, Lengths]:
    """The smallest length of each axis, and the largest."""
    axes = tuple(shapes[0])
    least, most = ({axis: pick(shape[axis] for shape in shapes) for axis in axes} for pick in (min, max))
    return least, most


def lies_between(shapes: Sequence[Lengths], lengths: Lengths) -> bool:
    least, most = find_range(shapes)
    return all(least[axis] <= length <= most[axis] for axis, length in lengths.items())


def sort_shapes(buckets: Buckets, inputs: Shapes) -> tuple[Lengths, ...]:
    """Those with the fewest elements first; axes that no bucket names count for one."""

    def count(shape: Lengths) -> int:
        return sum(
            prod(axis if isinstance(axis, int) else shape.get(axis, 1) for axis in axes) for axes in inputs.values()
        )

    return tuple({axis: shape[axis] for axis in buckets.axes} for shape in sorted(buckets.shapes, key=count))


def describe_lengths(lengths: Lengths) -> str:
    """``batch 8, tokens 128``."""
    return ", ".join(f"{axis} {length}" for axis, length in lengths.items())


def describe_limits(shapes: tuple[Lengths, ...], padded: frozenset[str]) -> str:
    """``batch 1 to 8, tokens 1 to 128``, for each shape; an axis that is not padded has one length."""
    return " or ".join(
        ", ".join(
            f"{axis} 1 to {length}" if axis in padded and length > 1 else f"{axis} {length}"
            for axis, length in shape.items()
        )
        for shape in shapes
    )
