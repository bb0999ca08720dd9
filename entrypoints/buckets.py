"""Inputs are brought to the nearest bucket, and answers back to the inputs' own lengths.

The container serves by this module and the compile stage proves by it that padding changes no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from entrypoints.contract import BadRequest, Session
from entrypoints.shapes import (
    ANY,
    RANGE,
    Buckets,
    Lengths,
    Shapes,
    describe_lengths,
    describe_limits,
    find_padded,
    holds,
    lies_between,
    sort_shapes,
)

Tensors = Mapping[str, np.ndarray]
BETWEEN, OUTSIDE, REFUSED = "between", "outside", "refused"
"""What is counted in a bucket's place: what was compiled for the buckets took the inputs as they were, or the graph did, or
nothing."""


class Bucketing:
    """One component's buckets. ``inputs`` and ``outputs`` have the axes of its tensors by name."""

    def __init__(self, buckets: Buckets, inputs: Shapes, outputs: Shapes) -> None:
        self.padded = find_padded(buckets, inputs)
        self.shapes = sort_shapes(buckets, inputs)
        self.outside = buckets.outside
        self._axes = buckets.axes
        self._pad = buckets.pad
        self._inputs = inputs
        self._outputs = outputs

    def measure(self, inputs: Tensors) -> dict[str, int]:
        """The lengths of the axes that buckets name. Raises ValueError for inputs that are none of this component's."""
        found: dict[str, int] = {}
        for name, axes in self._inputs.items():
            given = inputs[name].shape if name in inputs else None
            if given is None or len(given) != len(axes):
                what = "is missing" if given is None else f"has {len(given)} axes, should have {len(axes)}"
                raise ValueError(f"the input {name} {what}")
            for axis, length in zip(axes, given, strict=True):
                if axis in self._axes and found.setdefault(str(axis), length) != length:
                    raise ValueError(f"the input {name} has {axis} {length}, another has {found[str(axis)]}")
        return {axis: found[axis] for axis in self._axes}

    def choose(self, lengths: Lengths) -> Lengths | None:
        """The smallest bucket that holds inputs of these lengths."""
        return next((shape for shape in self.shapes if holds(shape, lengths, self.padded)), None)

    def lies_between(self, lengths: Lengths) -> bool:
        """Whether what is compiled from the smallest bucket to the largest takes inputs of these lengths as they are."""
        return lies_between(self.shapes, lengths)

    def fill(self, inputs: Tensors, shape: Lengths) -> dict[str, np.ndarray]:
        """The inputs, padded at the end of each axis to the bucket's length."""
        return {name: self._filled(name, array, shape) for name, array in inputs.items()}

    def crop(self, outputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        """The outputs without what padding added."""
        return {
            name: array[tuple(slice(lengths.get(str(axis))) for axis in self._outputs[name])]
            for name, array in outputs.items()
        }

    def fit(self, inputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        """Inputs of these lengths made of real ones: cut, or repeated from their beginning on. So they stay such as the graph
        can take, which zeros need not be."""
        return {name: self._fitted(array, self._inputs.get(name, ()), lengths) for name, array in inputs.items()}

    def refuse(self, lengths: Lengths) -> BadRequest:
        limits = describe_limits(self.shapes, self.padded)
        return BadRequest(f"This model does not take {describe_lengths(lengths)}: it takes {limits}.")

    def _filled(self, name: str, array: np.ndarray, shape: Lengths) -> np.ndarray:
        axes = self._inputs.get(name)
        if axes is None:
            return array
        wanted = tuple(shape.get(str(axis), length) for axis, length in zip(axes, array.shape, strict=True))
        if wanted == array.shape:
            return array
        filled = np.full(wanted, self._pad[name], array.dtype)
        filled[tuple(slice(length) for length in array.shape)] = array
        return filled

    def _fitted(self, array: np.ndarray, axes: tuple[int | str, ...], lengths: Lengths) -> np.ndarray:
        for number, axis in enumerate(axes):
            if str(axis) in lengths:
                array = array.take(np.arange(lengths[str(axis)]) % array.shape[number], axis=number)
        return array


class BucketSession:
    """A session whose inputs are brought to buckets. ``run`` may be called from any thread."""

    def __init__(
        self,
        session: Session,
        bucketing: Bucketing,
        graph: Callable[[], Session],
        count: Callable[[str], None],
        *,
        takes: str = ANY,
        compiles: bool = False,
    ) -> None:
        """``takes`` is what ``session`` takes, ``graph`` opens what takes inputs of any shape where that does not; ``count`` is
        told the bucket of each run. ``compiles``: the first run of a shape may cost more than later ones, as on a device that
        compiles or tries kernels for it."""
        self._session = session
        self._bucketing = bucketing
        self._graph = graph
        self._count = count
        self._takes = takes
        self._warming = compiles
        self._example: Tensors | None = None
        self._seen: list[Lengths] = []

    @property
    def limits(self) -> tuple[Lengths, ...]:
        """The buckets, smallest first; none where what they do not hold is taken as well."""
        return self._bucketing.shapes if self._bucketing.outside == "error" else ()

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Raises BadRequest, with the limits, for what no bucket holds."""
        lengths = self._bucketing.measure(inputs)
        shape = self._bucketing.choose(lengths)
        if shape is None:
            return self._run_outside(inputs, lengths)
        self._count(describe_lengths(shape))
        self._note(inputs, shape)
        if shape == lengths:
            return self._session.run(inputs)
        return self._bucketing.crop(self._session.run(self._bucketing.fill(inputs, shape)), lengths)

    def find_cold(self) -> tuple[Lengths, ...]:
        """Buckets whose first run is still to be paid, where there was a run that their inputs can be made of."""
        cold = self._warming and self._example
        return tuple(each for each in self._bucketing.shapes if each not in self._seen) if cold else ()

    def warm(self, shape: Lengths) -> None:
        """Run a bucket with inputs made of those of the first run."""
        if self._example is not None:
            self._session.run(self._bucketing.fit(self._example, shape))

    def end_warming(self) -> None:
        """Let go of the first run's inputs."""
        self._warming, self._example = False, None

    def _note(self, inputs: Tensors, shape: Lengths) -> None:
        if self._warming:
            self._example = self._example or dict(inputs)
            self._seen.append(shape)

    def _run_outside(self, inputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        if self._bucketing.outside == "error":
            self._count(REFUSED)
            raise self._bucketing.refuse(lengths)
        between = self._takes == RANGE and self._bucketing.lies_between(lengths)
        self._count(BETWEEN if between else OUTSIDE)
        if between or self._takes == ANY:
            self._note(inputs, lengths)
            return self._session.run(inputs)
        return self._graph().run(inputs)
