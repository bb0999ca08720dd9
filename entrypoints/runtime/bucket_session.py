"""Pads inputs to the smallest bucket that holds them, and crops outputs back to the inputs' lengths.

The container serves with this module. The compile stage checks with it that padding changes no output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from entrypoints.contract import BadRequest, Session
from entrypoints.manifest.shape_buckets import (
    ACCEPTS_ANY,
    ACCEPTS_RANGE,
    Buckets,
    Lengths,
    Shapes,
    describe_lengths,
    describe_limits,
    find_padded_axes,
    fits_bucket,
    lies_between,
    sort_by_elements,
)
from entrypoints.manifest.values import OnnxComponent

Tensors = Mapping[str, np.ndarray]
BETWEEN, OVERFLOW, REFUSED = "between", "overflow", "refused"
"""Metric labels for requests that matched no bucket: run by a dynamic-shape artifact, run by the graph, or rejected."""


class Bucketing:
    """The buckets of one component. ``inputs`` and ``outputs``: the axes of its tensors, by tensor name."""

    def __init__(self, buckets: Buckets, inputs: Shapes, outputs: Shapes) -> None:
        self.padded = find_padded_axes(buckets, inputs)
        self.shapes = sort_by_elements(buckets, inputs)
        self.overflow = buckets.overflow
        self._axes = buckets.axes
        self._pad = buckets.pad
        self._inputs = inputs
        self._outputs = outputs

    def measure(self, inputs: Tensors) -> dict[str, int]:
        """The lengths of the axes that buckets name. Raises ValueError for inputs that do not fit the component."""
        lengths: dict[str, int] = {}
        for name, axes in self._inputs.items():
            shape = inputs[name].shape if name in inputs else None
            if shape is None or len(shape) != len(axes):
                problem = "is missing" if shape is None else f"has {len(shape)} axes, should have {len(axes)}"
                raise ValueError(f"the input {name} {problem}")
            for axis, length in zip(axes, shape, strict=True):
                if axis in self._axes and lengths.setdefault(str(axis), length) != length:
                    raise ValueError(f"the input {name} has {axis} {length}, another has {lengths[str(axis)]}")
        return {axis: lengths[axis] for axis in self._axes}

    def choose(self, lengths: Lengths) -> Lengths | None:
        """The smallest bucket that inputs of these lengths can be padded to; None if there is none."""
        return next((shape for shape in self.shapes if fits_bucket(shape, lengths, self.padded)), None)

    def lies_between(self, lengths: Lengths) -> bool:
        """Whether an artifact for every length from the smallest bucket to the largest can run these lengths unpadded."""
        return lies_between(self.shapes, lengths)

    def fill(self, inputs: Tensors, shape: Lengths) -> dict[str, np.ndarray]:
        """The inputs, padded at the end of each axis to the bucket's length."""
        return {name: self._pad_array(name, array, shape) for name, array in inputs.items()}

    def crop(self, outputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        """The outputs without the rows that padding added."""
        return {
            name: array[tuple(slice(lengths.get(str(axis))) for axis in self._outputs[name])]
            for name, array in outputs.items()
        }

    def fit(self, inputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        """Inputs of these lengths, made of real ones: cut, or repeated from their start. The graph accepts real values; it need
        not accept zeros."""
        return {name: self._resize_array(array, self._inputs.get(name, ()), lengths) for name, array in inputs.items()}

    def refuse(self, lengths: Lengths) -> BadRequest:
        limits = describe_limits(self.shapes, self.padded)
        return BadRequest(f"This model does not accept {describe_lengths(lengths)}: it accepts {limits}.")

    def _pad_array(self, name: str, array: np.ndarray, shape: Lengths) -> np.ndarray:
        axes = self._inputs.get(name)
        if axes is None:
            return array
        padded = tuple(shape.get(str(axis), length) for axis, length in zip(axes, array.shape, strict=True))
        if padded == array.shape:
            return array
        filled = np.full(padded, self._pad[name], array.dtype)
        filled[tuple(slice(length) for length in array.shape)] = array
        return filled

    def _resize_array(self, array: np.ndarray, axes: tuple[int | str, ...], lengths: Lengths) -> np.ndarray:
        for number, axis in enumerate(axes):
            if str(axis) in lengths:
                array = array.take(np.arange(lengths[str(axis)]) % array.shape[number], axis=number)
        return array


class BucketSession:
    """A session that pads inputs to buckets. ``run`` may be called from any thread."""

    def __init__(
        self,
        session: Session,
        bucketing: Bucketing,
        graph: Callable[[], Session],
        count: Callable[[str], None],
        *,
        accepts: str = ACCEPTS_ANY,
        compiles: bool = False,
    ) -> None:
        """``accepts``: the shapes that ``session`` can run (``entrypoints.manifest.shape_buckets``). ``graph`` opens a session
        for any shape, if one is needed. ``count`` is called with the metric label of each run. ``compiles``: the first run of
        a shape may take longer, because the device compiles or tries kernels for it."""
        self._session = session
        self._bucketing = bucketing
        self._graph = graph
        self._count = count
        self._accepts = accepts
        self._warming = compiles
        self._example: Tensors | None = None
        self._seen: list[Lengths] = []

    @property
    def limits(self) -> tuple[Lengths, ...]:
        """The buckets, smallest first; none if inputs larger than every bucket are accepted too."""
        return self._bucketing.shapes if self._bucketing.overflow == "error" else ()

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Raises BadRequest, which names the limits, if no bucket holds the inputs and ``overflow`` is ``error``."""
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
        """The buckets that never ran; none before a first run, whose inputs ``warm`` needs."""
        cold = self._warming and self._example
        return tuple(shape for shape in self._bucketing.shapes if shape not in self._seen) if cold else ()

    def warm(self, shape: Lengths) -> None:
        """Run a bucket once, with inputs made from those of the first run."""
        if self._example is not None:
            self._session.run(self._bucketing.fit(self._example, shape))

    def end_warming(self) -> None:
        """Release the inputs of the first run."""
        self._warming, self._example = False, None

    def _note(self, inputs: Tensors, shape: Lengths) -> None:
        if self._warming:
            self._example = self._example or dict(inputs)
            self._seen.append(shape)

    def _run_outside(self, inputs: Tensors, lengths: Lengths) -> dict[str, np.ndarray]:
        if self._bucketing.overflow == "error":
            self._count(REFUSED)
            raise self._bucketing.refuse(lengths)
        between = self._accepts == ACCEPTS_RANGE and self._bucketing.lies_between(lengths)
        self._count(BETWEEN if between else OVERFLOW)
        if between or self._accepts == ACCEPTS_ANY:
            self._note(inputs, lengths)
            return self._session.run(inputs)
        return self._graph().run(inputs)


def wrap_in_buckets(
    component: OnnxComponent,
    session: Session,
    graph: Callable[[], Session],
    count: Callable[[str], None],
    *,
    accepts: str,
    compiles: bool,
) -> BucketSession:
    """The session of a component that has buckets; the other arguments are those of `BucketSession`."""
    assert component.buckets is not None  # noqa: S101
    tensors = (
        {name: tensor.shape or () for name, tensor in signature.items()}
        for signature in (component.inputs, component.outputs)
    )
    return BucketSession(
        session, Bucketing(component.buckets, *tensors), graph, count, accepts=accepts, compiles=compiles
    )
