"""The shapes that an engine is made for: those of the component's buckets, from the smallest to the largest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from entrypoints.shapes import Lengths, find_range
from prebake.bake.buckets import Tensors
from prebake.bake.component import Component
from prebake.bake.provider_options import Range, Shape
from prebake.bake.settings import Settings
from prebake.errors import Problem, SpecInvalid


def find_profile(own: Component, tensors: Tensors) -> dict[str, Range]:
    """By input with a free axis, for a component of which ``check_profiles`` found nothing wrong. The optimum is the bucket that
    image.yaml lists first."""
    if not tensors.free:
        return {}
    least, most = find_range(own.buckets)
    return {
        name: Range(*(_shape(axes, lengths) for lengths in (least, own.buckets[0], most)))
        for name, axes in tensors.inputs.items()
        if any(isinstance(axis, str) for axis in axes)
    }


def check_profiles(settings: Settings, tensors: Mapping[str, Tensors]) -> None:
    """Raise SpecInvalid with every input that has a free axis which no bucket gives a length, of all components."""
    problems = [
        problem for name, own in settings.components.items() for problem in _find_problems(name, own, tensors[name])
    ]
    if problems:
        raise SpecInvalid(
            f"No engine can be made of images/{settings.image} for shapes that are not known:",
            problems,
            next_action="name each free axis in the component's `buckets` (docs/buckets.md), or export it without",
        )


def _find_problems(component: str, own: Component, tensors: Tensors) -> Iterator[Problem]:
    named = own.buckets[0].keys() if own.buckets else set[str]()
    for name, axes in tensors.inputs.items():
        free = [axis for axis in axes if isinstance(axis, str) and axis not in named]
        if free:
            said = f"buckets name {', '.join(named)}" if named else "there are no buckets"
            yield Problem(
                f"components.{component}.buckets",
                f"the graph's input '{name}' is [{', '.join(map(str, axes))}], free along {', '.join(free)}; {said}",
            )


def _shape(axes: tuple[int | str, ...], lengths: Lengths) -> Shape:
    return tuple(lengths[axis] if isinstance(axis, str) else axis for axis in axes)
