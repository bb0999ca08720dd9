"""Runs a graph on the cases of its component and compares its outputs with the framework's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import CPU
from prebake.bake.graphs.sessions import open_session
from prebake.bake.parity.metrics import find_not_finite, measure_error
from prebake.bake.parity.results import ParityResult
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.component import SessionSettings

Tolerance = float | Mapping[str, float]
"""One tolerance for all outputs, or one for each output name."""
NO_BASIS: Mapping[str, str] = {}


class RunnableSession(Protocol):
    """The methods of ``onnxruntime.InferenceSession`` that a comparison uses."""

    def get_inputs(self) -> Sequence[Any]: ...

    def run(self, outputs: list[str], inputs: Mapping[str, Array], /) -> Sequence[Array]: ...


@dataclass(frozen=True)
class Case:
    """Inputs of a component, and the framework's outputs of them, by name."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def compare(
    component: str,
    session: RunnableSession,
    cases: Sequence[Case],
    tolerance: Tolerance,
    *,
    relative: bool = False,
    basis: Mapping[str, str] = NO_BASIS,
) -> tuple[ParityResult, ...]:
    """Run every case. Returns a result for each output of each case, also if the case cannot be run.

    relative: ``tolerance`` bounds the relative error, for integers the share of different elements. Otherwise it bounds the
        largest absolute difference, and integers must be equal unless ``tolerance`` names their output.
    basis: what the tolerance of each output follows from.
    """
    return tuple(
        _judge(
            ParityResult(
                component=component,
                case=number,
                output=output,
                tolerance=tolerance[output] if isinstance(tolerance, Mapping) else tolerance,
                difference=None,
                relative=relative,
                basis=basis.get(output, ""),
            ),
            expected,
            outputs.get(output),
            integer_tolerance=tolerance.get(output, 0.0) // 1 if isinstance(tolerance, Mapping) else 0.0,
        )
        for number, case in enumerate(cases, start=1)
        for outputs in (_run(session, case),)
        for output, expected in case.outputs.items()
    )


def _run(session: RunnableSession, case: Case) -> dict[str, Array | Exception]:
    # The exporter drops inputs that no output depends on.
    names = {value.name for value in session.get_inputs()}
    inputs = {name: array for name, array in case.inputs.items() if name in names}
    try:
        outputs = session.run(list(case.outputs), inputs)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
        return dict.fromkeys(case.outputs, error)
    return dict(zip(case.outputs, outputs, strict=True))


def _judge(
    result: ParityResult, expected: Array, actual: Array | Exception | None, *, integer_tolerance: float
) -> ParityResult:
    if not isinstance(actual, np.ndarray):
        return replace(result, fault=f"cannot be computed: {actual}")
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        fault = f"is {actual.dtype} {list(actual.shape)}, the framework's is {expected.dtype} {list(expected.shape)}"
        return replace(result, fault=fault)
    if fault := find_not_finite(expected, actual):
        return replace(result, fault=fault)
    metrics = measure_error(expected, actual)
    if result.relative:
        return replace(result, difference=metrics.relative, metrics=metrics)
    kind = expected.dtype.kind
    tolerance = integer_tolerance if kind in "biu" else 0.0 if kind == "O" else result.tolerance
    return replace(result, tolerance=tolerance, difference=metrics.difference, metrics=metrics)


class ComparisonUnavailable(Exception):
    """ONNX Runtime's CPU provider has no kernel for an operator of the graph, so outputs cannot be compared here."""


def open_for_comparison(
    component: str, graph: Path, session: SessionSettings, providers: Sequence[str]
) -> ort.InferenceSession:
    """Open the graph with the CPU provider, whichever provider it is for.

    Raises ComparisonUnavailable if the CPU provider lacks a kernel, and BakeError if no provider could open the graph.
    """
    if providers[0] == CPU:
        return open_session(graph, session, providers)
    try:
        return open_session(graph, session, [CPU])
    except NoKernel as missing:
        raise ComparisonUnavailable(str(missing)) from missing
    except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
        raise BakeError(
            f"{component}: ONNX Runtime cannot open the exported graph: {error}",
            next_action="change the module, or the component's precision, so that it exports to standard ONNX operators",
        ) from error
