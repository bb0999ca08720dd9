"""A torch module to an ONNX graph."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from torch.utils._sympy.numbers import int_oo

from prebake.bake.attention import attend
from prebake.bake.errors import BakeError

OPSET = 20  # the newest that every fusion of the pinned ONNX Runtime knows
TRANSLATIONS: dict[Any, Any] = {torch.ops.aten.scaled_dot_product_attention.default: attend}
Axis = Any  # a name, or any dimension of torch.export: Dim("tokens", max=512), 8 * Dim("windows"), Dim.AUTO
Inputs = Mapping[str, torch.Tensor]


def export_graph(
    component: str,
    module: torch.nn.Module,
    case: Inputs,
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, Axis]],
) -> ir.Model:
    """Trace ``module`` with ``case`` and give its graph; initialisers still are the module's own tensors.

    ``case`` holds the forward's arguments by name, those that its ``**inputs`` takes among them. An axis of ``dynamic``
    given by name is a ``torch.export.Dim`` of that name, one and the same in every input. Raises BakeError where torch
    cannot export the module.
    """
    shapes = _dynamic_shapes(case, dynamic)
    return translate(
        component, Spelt(module, list(case)), list(case), outputs, kwargs=dict(case), dynamic_shapes=shapes
    )


class Spelt(torch.nn.Module):
    """``module`` with a parameter of ``forward`` for each of its inputs: what ``**inputs`` takes has no names that
    torch.export could match shapes with."""

    def __init__(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        signature = inspect.Signature(parameters)

        def forward(*values: Any, **named: Any) -> Any:
            return self.module(**signature.bind(*values, **named).arguments)

        forward.__signature__ = signature  # type: ignore[attr-defined]
        self.forward = forward
        self.train(module.training)


def translate(
    component: str,
    module: torch.nn.Module | torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    **traced: Any,
) -> ir.Model:
    """The graph of a program, or of a module with what it is ``traced`` with. Raises BakeError where torch has no
    translation for it."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                custom_translation_table=TRANSLATIONS,
                verbose=False,
                **traced,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise _unexportable(component, error) from error
    if program is None:
        raise _unexportable(component, TypeError("torch gave no graph"))
    model = program.model
    LiftConstantsToInitializersPass(lift_all_constants=False)(model)
    return model


def _dynamic_shapes(case: Inputs, dynamic: Mapping[str, Mapping[int, Axis]]) -> dict[str, dict[int, Axis]]:
    dims: dict[str, Axis] = {}

    def dim(axis: Axis) -> Axis:
        return dims.setdefault(axis, torch.export.Dim(axis)) if isinstance(axis, str) else axis

    return {name: {axis: dim(value) for axis, value in dynamic.get(name, {}).items()} for name in case}


def find_ranges(dynamic: Mapping[str, Mapping[int, Axis]]) -> dict[str, list[int | None]]:
    """The least and the largest length of each axis that is a ``torch.export.Dim``, None where it has no largest."""
    dims = {axis.__name__: axis for axes in dynamic.values() for axis in axes.values() if hasattr(axis, "max")}
    return {name: [int(dim.min), None if dim.max == int_oo else int(dim.max)] for name, dim in sorted(dims.items())}


def _unexportable(component: str, error: Exception) -> BakeError:
    cause = error.__cause__ or error
    return BakeError(
        f"{component}: torch cannot export this module: {str(cause).strip()[:1500]}",
        next_action="Rewrite the part of the module that is named, or make the dimension that it fixes static.",
    )
