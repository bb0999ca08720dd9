"""Verifies which dynamic axes of a graph's inputs have equal lengths, by running the graph.

Axis names in published files are unreliable: exporters give one name to unrelated axes. So each axis that shares its name with an
earlier one is made longer by one, alone. If the graph still runs, the axis gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from prebake.bake.importers.signature import Signature
from prebake.bake.published.graph_file import PublishedGraph
from prebake.bake.published.input_search import try_run
from prebake.bake.weights.numpy_arrays import Array

MAX_TESTED_AXES = 64
"""Axes of a graph that are tested; the names of further axes are trusted."""
AxisPosition = tuple[str, int]
"""An input and the index of one of its axes."""


def verify_axis_names(published: PublishedGraph, cases: Sequence[Mapping[str, Array]]) -> Signature:
    """The signature in which axes with the same name have the same length. ``cases`` are inputs that the graph runs on."""
    independent = {position for case in cases for position in _unequal(published.signature, case)}
    tested = [position for position in _repeated(published.signature) if position not in independent]
    independent |= {position for position in tested[:MAX_TESTED_AXES] if _may_differ(published, position, cases)}
    return rename_axes(published.signature, independent)


def rename_axes(signature: Signature, positions: set[AxisPosition] | frozenset[AxisPosition]) -> Signature:
    """Give each of these axes a name of its own, ``INPUT.INDEX``."""

    def rename(name: str, axes: Sequence[int | str]) -> tuple[int | str, ...]:
        return tuple(f"{name}.{index}" if (name, index) in positions else axis for index, axis in enumerate(axes))

    inputs = tuple(
        tensor if tensor.shape is None else replace(tensor, shape=rename(tensor.name, tensor.shape))
        for tensor in signature.inputs
    )
    return replace(signature, inputs=inputs)


def separate_axes(signature: Signature) -> Signature:
    """The signature without shared axis names: it does not require equal lengths in any inputs."""
    return rename_axes(signature, frozenset(_repeated(signature)))


def _dynamic_axes(signature: Signature) -> Iterator[tuple[str, AxisPosition]]:
    for tensor in signature.inputs:
        for index, axis in enumerate(tensor.axes):
            if isinstance(axis, str):
                yield axis, (tensor.name, index)


def _repeated(signature: Signature) -> Iterator[AxisPosition]:
    """Axes that have the name of an earlier axis."""
    seen: set[str] = set()
    for axis, position in _dynamic_axes(signature):
        if axis in seen:
            yield position
        seen.add(axis)


def _unequal(signature: Signature, case: Mapping[str, Array]) -> Iterator[AxisPosition]:
    """Axes whose length in a case differs from that of the first axis with the same name."""
    lengths: dict[str, int] = {}
    for axis, (name, index) in _dynamic_axes(signature):
        if lengths.setdefault(axis, case[name].shape[index]) != case[name].shape[index]:
            yield name, index


def _may_differ(published: PublishedGraph, position: AxisPosition, cases: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the graph runs if this axis alone is longer by one. Tested only on lengths above 1, since operators broadcast an
    axis of length 1 to any length."""
    name, index = position
    case = next((case for case in cases if case[name].shape[index] > 1), None)
    if case is None:
        return False
    array = case[name]
    longer = np.concatenate([array, array.take([-1], axis=index)], axis=index)
    return isinstance(try_run(published, {**case, name: longer}), dict)
