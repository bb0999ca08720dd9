"""Checks that the buckets of image.yaml fit the axes of the graphs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prebake.bake.parity.graph_signature import GraphSignature, make_bucketing
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from prebake.errors import Problem, SpecInvalid

AxisRanges = Mapping[str, Sequence[int | None]]
"""The smallest and largest exported length of each dynamic axis; the largest is None if there is none."""


def check_buckets(
    settings: StageSettings, signatures: Mapping[str, GraphSignature], ranges: Mapping[str, AxisRanges]
) -> None:
    """Raise SpecInvalid that lists every field of image.yaml's buckets that a graph does not support. ``signatures`` and
    ``ranges`` are by component."""
    problems = [
        replace(problem, where=f"components.{name}.{problem.where}")
        for name, component in settings.components.items()
        if component.buckets
        for problem in _find_problems(component, signatures[name], ranges[name])
    ]
    if problems:
        raise SpecInvalid(
            f"The buckets in images/{settings.image}/image.yaml do not fit the graphs:",
            problems,
            next_action="correct the fields listed; export.py declares dynamic axes in `dynamic`",
        )


def _find_problems(component: ComponentSettings, signature: GraphSignature, ranges: AxisRanges) -> Iterator[Problem]:
    dynamic = signature.dynamic_axes
    for axis in (axis for axis in component.buckets[0] if axis not in dynamic):
        yield Problem("buckets", f"no input has a dynamic axis {axis!r}", _suggest(axis, dynamic))
    for number, shape in enumerate(component.buckets):
        for axis, length in shape.items():
            minimum, maximum = ranges.get(axis, (1, None))
            if length < (minimum or 0) or (maximum is not None and length > maximum):
                allowed = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
                yield Problem(
                    f"buckets[{number}].{axis}",
                    f"is {length}, but {axis} was exported for {allowed}: {_describe_input(signature, axis)}",
                )
    yield from _find_pad_problems(component, signature)
    yield from _find_derived_axes(component, signature)


def _describe_input(signature: GraphSignature, axis: str) -> str:
    """The first input with the axis, and its shape."""
    for name, axes in signature.inputs.items():
        if axis in axes:
            return f"the graph's input '{name}' is [{', '.join(map(str, axes))}]"
    return "no input has it"


def _find_pad_problems(component: ComponentSettings, signature: GraphSignature) -> Iterator[Problem]:
    axes = set(component.buckets[0])
    for name, value in component.pad.items():
        if name not in signature.inputs:
            yield Problem(f"pad.{name}", "the graph has no such input", _suggest(name, signature.inputs))
        elif not axes & set(signature.inputs[name]):
            yield Problem(f"pad.{name}", f"has none of the axes {', '.join(sorted(axes))}", "remove it")
        elif not _is_representable(value, signature.dtypes[name]):
            yield Problem(f"pad.{name}", f"{value:g} is not a valid {signature.dtypes[name]}")


def _find_derived_axes(component: ComponentSettings, signature: GraphSignature) -> Iterator[Problem]:
    """Axes whose length follows from a bucket's axis, such as ``2*tokens``: padding and cropping do not support them."""
    padded = make_bucketing(component, signature).padded
    checked = (
        ("input", signature.inputs, component.buckets[0].keys()),
        ("output", signature.outputs, padded),
    )
    for kind, shapes, axes in checked:
        for name, shape in shapes.items():
            for axis in axes:
                for derived in (other for other in shape if isinstance(other, str) and other != axis):
                    if axis in re.findall(r"[A-Za-z_][\w.]*", derived):
                        fault = f"the {kind} {name!r} has an axis {derived!r}, which depends on {axis!r}"
                        yield Problem("buckets", fault)


def _is_representable(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether ``dtype`` has the value; a float may be rounded."""
    if dtype.kind not in "biu":
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.array(value).astype(dtype)))
    minimum, maximum = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return value == int(value) and minimum <= value <= maximum


def _suggest(word: str, known: Sequence[str] | set[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(known)) or 'none'}"
