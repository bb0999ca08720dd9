"""Checks that padding a graph's inputs to a bucket does not change its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from entrypoints.manifest.shape_buckets import Lengths, describe_lengths, find_range, fits_bucket
from entrypoints.runtime.bucket_session import Bucketing
from prebake.bake.parity.compare import Case, RunnableSession, Tolerance, compare
from prebake.bake.parity.results import ParityResult
from prebake.bake.weights.numpy_arrays import Array


@dataclass(frozen=True)
class BucketedSession:
    """A session that pads its inputs to one bucket and crops its outputs, as the container does."""

    session: RunnableSession
    bucketing: Bucketing
    shape: Lengths

    def get_inputs(self) -> Sequence[Any]:
        return self.session.get_inputs()

    def run(self, outputs: list[str], inputs: Mapping[str, Array]) -> list[Array]:
        lengths = self.bucketing.measure(inputs)
        padded = self.session.run(outputs, self.bucketing.fill(inputs, self.shape))
        cropped = self.bucketing.crop(dict(zip(outputs, padded, strict=True)), lengths)
        return [cropped[name] for name in outputs]


@dataclass(frozen=True)
class BucketParityCheck:
    """Compares the outputs of one component in each of its buckets."""

    component: str
    session: RunnableSession
    """The graph, or what was compiled from it for the buckets."""
    bucketing: Bucketing
    tolerance: Tolerance
    relative: bool
    reference: RunnableSession | None = None
    """The graph, if ``session`` is something else: runs unpadded inputs that are in no bucket."""
    covers_range: bool = False
    """Whether ``session`` also runs unpadded inputs between the smallest and the largest bucket."""

    def results(self, cases: Sequence[Case]) -> Iterator[ParityResult]:
        """Compare, for each bucket: every case that fits it, with the framework's outputs; and the first case resized to the
        full bucket and to half of its padded axes, with the graph's outputs of the unpadded inputs."""
        first = cases[0].inputs
        for shape in self.bucketing.shapes:
            half = {axis: max(1, n // 2) if axis in self.bucketing.padded else n for axis, n in shape.items()}
            for number, case in enumerate(cases, start=1):
                if fits_bucket(shape, self.bucketing.measure(case.inputs), self.bucketing.padded):
                    yield from self._compare(shape, number, case)
            for lengths in (shape, *([half] if half != shape else [])):
                resized = self.bucketing.fit(first, lengths)
                expected = self._run_unpadded(resized, tuple(cases[0].outputs))
                if expected is not None or lengths is shape:  # the full bucket has to run: report why it does not
                    yield from self._compare(shape, 1, expected or Case(resized, cases[0].outputs))
        if self.covers_range:
            yield from self._between(cases)

    def _between(self, cases: Sequence[Case]) -> Iterator[ParityResult]:
        """Compare every case that lies between the buckets, with the framework's outputs; and the first case resized to the
        middle of the range, with the graph's."""
        for number, case in enumerate(cases, start=1):
            lengths = self.bucketing.measure(case.inputs)
            if self._is_between(lengths):
                yield from self._compare(lengths, number, case)
        minimum, maximum = find_range(self.bucketing.shapes)
        middle = {axis: (minimum[axis] + maximum[axis]) // 2 for axis in minimum}
        if self._is_between(middle):
            expected = self._run_unpadded(self.bucketing.fit(cases[0].inputs, middle), tuple(cases[0].outputs))
            if expected is not None:
                yield from self._compare(middle, 1, expected)

    def _is_between(self, lengths: Lengths) -> bool:
        return self.bucketing.choose(lengths) is None and self.bucketing.lies_between(lengths)

    def _run_unpadded(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> Case | None:
        """The graph's outputs, or None if it rejects inputs of these lengths: axis names do not express every constraint."""
        session = self.reference or self.session
        names = {value.name for value in session.get_inputs()}
        try:
            arrays = session.run(list(outputs), {name: array for name, array in inputs.items() if name in names})
        except Exception:  # ONNX Runtime's exceptions have no common base class but Exception
            return None
        return Case(inputs, dict(zip(outputs, arrays, strict=True)))

    def _compare(self, shape: Lengths, number: int, case: Case) -> Iterator[ParityResult]:
        lengths = self.bucketing.measure(case.inputs)
        for result in self._run(shape, case):
            axes = () if result.passed else tuple(self._find_offending_axes(shape, lengths, case, result.output))
            yield replace(result, case=number, bucket=describe_lengths(shape), axes=axes)

    def _run(self, shape: Lengths, case: Case) -> tuple[ParityResult, ...]:
        session = BucketedSession(self.session, self.bucketing, shape)
        return compare(self.component, session, [case], self.tolerance, relative=self.relative)

    def _find_offending_axes(self, shape: Lengths, lengths: Lengths, case: Case, output: str) -> Iterator[str]:
        """Axes whose padding alone changes the output."""
        for axis in (axis for axis in shape if lengths[axis] != shape[axis]):
            results = self._run({**lengths, axis: shape[axis]}, case)
            if not all(result.passed for result in results if result.output == output):
                yield axis
