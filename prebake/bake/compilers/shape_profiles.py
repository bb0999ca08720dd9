"""TensorRT's optimization profiles: the range of input shapes that an engine supports, from a component's buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from entrypoints.manifest.shape_buckets import Lengths, find_range
from prebake.bake.graphs.provider_options import Shape, ShapeRange
from prebake.bake.parity.graph_signature import GraphSignature
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from prebake.errors import Problem, SpecInvalid


def find_profile(own: ComponentSettings, tensors: GraphSignature) -> dict[str, ShapeRange]:
    """The smallest, optimal and largest shape of each input with a free axis. The optimum is the bucket that image.yaml lists
    first. ``check_profiles`` must have passed for the component."""
    if not tensors.dynamic_axes:
        return {}
    smallest, largest = find_range(own.buckets)
    return {
        name: ShapeRange(*(_shape(axes, lengths) for lengths in (smallest, own.buckets[0], largest)))
        for name, axes in tensors.inputs.items()
        if any(isinstance(axis, str) for axis in axes)
    }


def check_profiles(settings: StageSettings, tensors: Mapping[str, GraphSignature]) -> None:
    """Raise SpecInvalid if an input has a free axis that no bucket gives a length; with every such input of all components."""
    problems = [
        problem for name, own in settings.components.items() for problem in _find_problems(name, own, tensors[name])
    ]
    if problems:
        raise SpecInvalid(
            f"No engine can be compiled for images/{settings.image}, since the lengths of free axes are not known:",
            problems,
            next_action="list each free axis in the component's `buckets` (docs/concepts/buckets.md), or export it without",
        )


def _find_problems(component: str, own: ComponentSettings, tensors: GraphSignature) -> Iterator[Problem]:
    named = own.buckets[0].keys() if own.buckets else set[str]()
    for name, axes in tensors.inputs.items():
        free = [axis for axis in axes if isinstance(axis, str) and axis not in named]
        if free:
            given = f"buckets name {', '.join(named)}" if named else "there are no buckets"
            yield Problem(
                f"components.{component}.buckets",
                f"the graph's input '{name}' is [{', '.join(map(str, axes))}], free along {', '.join(free)}; {given}",
            )


def _shape(axes: tuple[int | str, ...], lengths: Lengths) -> Shape:
    return tuple(lengths[axis] if isinstance(axis, str) else axis for axis in axes)
