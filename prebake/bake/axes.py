"""Which free axes of a graph's inputs really have one length: ONNX Runtime is asked, whatever they are called.

A name in a published file is no promise: exporters give one name to axes that have nothing to do with each other. So each axis
that shares its name with an earlier one is made a little longer, alone. If the graph still runs, the axis gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from prebake.bake.arrays import Array
from prebake.bake.published_file import Published
from prebake.bake.sampling import ask
from prebake.bake.signature import Signature

MOST_ASKED = 64
"""Axes of a graph that are asked for; the names of further ones are believed."""
Place = tuple[str, int]
"""An input, and which of its axes."""


def settle_axes(published: Published, cases: Sequence[Mapping[str, Array]]) -> Signature:
    """The signature in which axes of one name have one length. ``cases`` are inputs that the graph runs on."""
    free = {place for case in cases for place in _unequal(published.signature, case)}
    asked = [place for place in _repeated(published.signature) if place not in free][:MOST_ASKED]
    free |= {place for place in asked if _may_differ(published, place, cases)}
    return rename_axes(published.signature, free)


def rename_axes(signature: Signature, places: set[Place] | frozenset[Place]) -> Signature:
    """Give these axes names of their own."""
    inputs = tuple(
        each
        if each.shape is None
        else replace(
            each,
            shape=tuple(f"{each.name}.{n}" if (each.name, n) in places else axis for n, axis in enumerate(each.shape)),
        )
        for each in signature.inputs
    )
    return replace(signature, inputs=inputs)


def unbound(signature: Signature) -> Signature:
    """Without any promise that axes of several inputs have one length."""
    return rename_axes(signature, frozenset(_repeated(signature)))


def _places(signature: Signature) -> Iterator[tuple[str, Place]]:
    for each in signature.inputs:
        for number, axis in enumerate(each.axes):
            if isinstance(axis, str):
                yield axis, (each.name, number)


def _repeated(signature: Signature) -> Iterator[Place]:
    """Axes that are called as one of an earlier input is."""
    seen: set[str] = set()
    for axis, place in _places(signature):
        if axis in seen:
            yield place
        seen.add(axis)


def _unequal(signature: Signature, case: Mapping[str, Array]) -> Iterator[Place]:
    """Axes whose length in a case is not that of the first of the same name."""
    lengths: dict[str, int] = {}
    for axis, (name, number) in _places(signature):
        if lengths.setdefault(axis, case[name].shape[number]) != case[name].shape[number]:
            yield name, number


def _may_differ(published: Published, place: Place, cases: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the graph runs if this axis is longer by one. An axis of length 1 is stretched to any other as operators
    broadcast, so that only longer ones tell something."""
    name, number = place
    case = next((each for each in cases if each[name].shape[number] > 1), None)
    if case is None:
        return False
    array = case[name]
    longer = np.concatenate([array, array.take([-1], axis=number)], axis=number)
    return isinstance(ask(published, {**case, name: longer}), dict)
