"""Shape buckets held against the graph that they are for: what its axes allow, and whether padding changes an answer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from entrypoints.buckets import Bucketing
from entrypoints.shapes import Buckets, Lengths, Shapes, describe_lengths, find_range, holds
from prebake.bake.arrays import Array
from prebake.bake.component import Component
from prebake.bake.manifest import signature
from prebake.bake.parity import Case, Finding, Runs, Tolerance, compare
from prebake.bake.settings import Settings
from prebake.errors import Problem, SpecInvalid

Ranges = Mapping[str, Sequence[int | None]]
"""Of free axes: the least and the largest length that the framework exported, None where there is no largest."""


@dataclass(frozen=True)
class Tensors:
    """A graph's inputs and outputs: element types by numpy's words, and axes."""

    types: Mapping[str, np.dtype[Any]]
    inputs: Shapes
    outputs: Shapes

    @classmethod
    def read(cls, model: ir.Model) -> Tensors:
        inputs = {str(value.name): signature(value) for value in model.graph.inputs}
        outputs = {str(value.name): signature(value) for value in model.graph.outputs}
        return cls(
            {name: np.dtype(object if kind == "string" else kind) for name, (kind, _) in inputs.items()},
            _shapes(inputs),
            _shapes(outputs),
        )

    @property
    def free(self) -> set[str]:
        return {axis for shape in self.inputs.values() for axis in shape if isinstance(axis, str)}


def _shapes(signatures: Mapping[str, list[Any]]) -> dict[str, tuple[int | str, ...]]:
    return {name: tuple(shape or ()) for name, (_, shape) in signatures.items()}


def bucketing_of(own: Component, tensors: Tensors) -> Bucketing:
    return Bucketing(Buckets(own.buckets, own.pad, own.outside), tensors.inputs, tensors.outputs)


def check_buckets(settings: Settings, tensors: Mapping[str, Tensors], ranges: Mapping[str, Ranges]) -> None:
    """Raise SpecInvalid with all that the graphs cannot do of what image.yaml asks of their buckets; all of them by component."""
    problems = [
        replace(problem, where=f"components.{name}.{problem.where}")
        for name, own in settings.components.items()
        if own.buckets
        for problem in _find_problems(own, tensors[name], ranges[name])
    ]
    if problems:
        raise SpecInvalid(
            f"Buckets of images/{settings.image}/image.yaml do not fit the graphs:",
            problems,
            next_action="correct the fields named; an axis is free where export.py says so by `dynamic`",
        )


def _find_problems(own: Component, tensors: Tensors, ranges: Ranges) -> Iterator[Problem]:
    axes = list(own.buckets[0])
    for axis in (axis for axis in axes if axis not in tensors.free):
        yield Problem("buckets", f"no input has a free axis {axis!r}", _meant(axis, tensors.free))
    for number, shape in enumerate(own.buckets):
        for axis, length in shape.items():
            least, most = ranges.get(axis, (1, None))
            if length < (least or 0) or (most is not None and length > most):
                allowed = f"{least} or more" if most is None else f"{least} to {most}"
                yield Problem(
                    f"buckets[{number}].{axis}",
                    f"is {length}, {_describe_input(tensors, axis)}, exported for {axis} {allowed}",
                )
    yield from _find_pad_problems(own, tensors)
    yield from _find_derived(own, tensors)


def _describe_input(tensors: Tensors, axis: str) -> str:
    """The first that has the axis, with its shape as the graph has it."""
    found = ((name, axes) for name, axes in tensors.inputs.items() if axis in axes)
    return next(
        (f"the graph's input '{name}' is [{', '.join(map(str, axes))}]" for name, axes in found), "no input has it"
    )


def _find_pad_problems(own: Component, tensors: Tensors) -> Iterator[Problem]:
    axes = set(own.buckets[0])
    for name, value in own.pad.items():
        if name not in tensors.inputs:
            yield Problem(f"pad.{name}", "no input is called so", _meant(name, tensors.inputs))
        elif not axes & set(tensors.inputs[name]):
            yield Problem(f"pad.{name}", f"has none of the axes {', '.join(sorted(axes))}", "leave it out")
        elif not _is_one_of(value, tensors.types[name]):
            yield Problem(f"pad.{name}", f"{value:g} is no {tensors.types[name]}")


def _find_derived(own: Component, tensors: Tensors) -> Iterator[Problem]:
    """An axis that follows from another, such as ``2*tokens``, would have to be padded and cropped along with it."""
    padded = bucketing_of(own, tensors).padded
    for kind, shapes, axes in (("input", tensors.inputs, own.buckets[0].keys()), ("output", tensors.outputs, padded)):
        for name, shape in shapes.items():
            for axis in axes:
                for each in (each for each in shape if isinstance(each, str) and each != axis):
                    if axis in re.findall(r"[A-Za-z_][\w.]*", each):
                        yield Problem(
                            "buckets", f"the {kind} {name!r} has an axis {each!r}, which changes with {axis!r}"
                        )


def _is_one_of(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether a number is one of the type's; floats may round it."""
    if dtype.kind not in "biu":
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.array(value).astype(dtype)))
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return value == int(value) and least <= value <= most


def _meant(word: str, known: Sequence[str] | set[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(known)) or 'none'}"


@dataclass(frozen=True)
class Padded:
    """A graph behind one bucket, as the container runs it."""

    session: Runs
    bucketing: Bucketing
    shape: Lengths

    def get_inputs(self) -> Sequence[Any]:
        return self.session.get_inputs()

    def run(self, outputs: list[str], inputs: Mapping[str, Array]) -> list[Array]:
        lengths = self.bucketing.measure(inputs)
        answers = self.session.run(outputs, self.bucketing.fill(inputs, self.shape))
        cropped = self.bucketing.crop(dict(zip(outputs, answers, strict=True)), lengths)
        return [cropped[name] for name in outputs]


@dataclass(frozen=True)
class Proof:
    """Of one component: that its graph, or what was compiled of it for its buckets, answers the same whatever bucket the inputs
    are brought to. ``reference`` answers inputs that are in none: the graph, where ``session`` is not that. ``ranging``: what
    lies between buckets comes to it as it is."""

    component: str
    session: Runs
    bucketing: Bucketing
    tolerance: Tolerance
    relative: bool
    reference: Runs | None = None
    ranging: bool = False

    def findings(self, cases: Sequence[Case]) -> Iterator[Finding]:
        """Of each bucket: every case that it holds, against the framework's answer; and inputs made of the first case that
        fill it, and that fill half of what may be padded, against the graph's own answer to them as they are."""
        first = cases[0].inputs
        for shape in self.bucketing.shapes:
            half = {axis: max(1, n // 2) if axis in self.bucketing.padded else n for axis, n in shape.items()}
            for number, case in enumerate(cases, start=1):
                if holds(shape, self.bucketing.measure(case.inputs), self.bucketing.padded):
                    yield from self._compare(shape, number, case)
            for lengths in (shape, *([half] if half != shape else [])):
                fitted = self.bucketing.fit(first, lengths)
                answered = self._answered(fitted, tuple(cases[0].outputs))
                if answered is not None or lengths is shape:  # which has to run, and is told why it does not
                    yield from self._compare(shape, 1, answered or Case(fitted, cases[0].outputs))
        if self.ranging:
            yield from self._between(cases)

    def _between(self, cases: Sequence[Case]) -> Iterator[Finding]:
        """Every case that lies between the buckets, against the framework's answer; and inputs of half way lengths, made of the
        first, against the graph's."""
        for number, case in enumerate(cases, start=1):
            lengths = self.bucketing.measure(case.inputs)
            if self._is_between(lengths):
                yield from self._compare(lengths, number, case)
        least, most = find_range(self.bucketing.shapes)
        half = {axis: (least[axis] + most[axis]) // 2 for axis in least}
        if self._is_between(half):
            answered = self._answered(self.bucketing.fit(cases[0].inputs, half), tuple(cases[0].outputs))
            if answered is not None:
                yield from self._compare(half, 1, answered)

    def _is_between(self, lengths: Lengths) -> bool:
        return self.bucketing.choose(lengths) is None and self.bucketing.lies_between(lengths)

    def _answered(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> Case | None:
        """None where the graph does not take inputs of these lengths: there may be some that its names do not tell of."""
        session = self.reference or self.session
        names = {each.name for each in session.get_inputs()}
        try:
            answers = session.run(list(outputs), {name: each for name, each in inputs.items() if name in names})
        except Exception:  # ONNX Runtime's exceptions share no base class but this
            return None
        return Case(inputs, dict(zip(outputs, answers, strict=True)))

    def _compare(self, shape: Lengths, number: int, case: Case) -> Iterator[Finding]:
        lengths = self.bucketing.measure(case.inputs)
        for finding in self._run(shape, case):
            guilty = () if finding.passed else tuple(self._guilty(shape, lengths, case, finding.output))
            yield replace(finding, case=number, bucket=describe_lengths(shape), axes=guilty)

    def _run(self, shape: Lengths, case: Case) -> tuple[Finding, ...]:
        padded = Padded(self.session, self.bucketing, shape)
        return compare(self.component, padded, [case], self.tolerance, relative=self.relative)

    def _guilty(self, shape: Lengths, lengths: Lengths, case: Case, output: str) -> Iterator[str]:
        """The axes whose padding alone changes the output."""
        for axis in (axis for axis in shape if lengths[axis] != shape[axis]):
            alone = self._run({**lengths, axis: shape[axis]}, case)
            if not all(finding.passed for finding in alone if finding.output == output):
                yield axis
