"""Exports a torch module to an ONNX graph."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from onnxscript import opset20 as op
from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention
from torch.utils._sympy.numbers import int_oo

from prebake.bake.errors import BakeError

OPSET = 20  # the newest opset that every fusion of the pinned ONNX Runtime supports
Axis = Any  # a name, or a dimension of torch.export: Dim("tokens", max=512), 8 * Dim("windows"), Dim.AUTO
Inputs = Mapping[str, torch.Tensor]


def export_graph(
    component: str,
    module: torch.nn.Module,
    case: Inputs,
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, Axis]],
) -> ir.Model:
    """Trace ``module`` with ``case`` and return its graph. Initializers share memory with the module's tensors.

    case: ``forward``'s arguments by name, including those of ``**inputs``.
    dynamic: dynamic axes by input. Axes with the same name have the same length in every input.
    Raises BakeError if torch cannot export the module.
    """
    shapes = _dynamic_shapes(case, dynamic)
    return to_onnx(
        component, ExplicitSignature(module, list(case)), list(case), outputs, kwargs=dict(case), dynamic_shapes=shapes
    )


class ExplicitSignature(torch.nn.Module):
    """``module`` with a parameter of ``forward`` for each input. torch.export matches dynamic shapes by parameter name, which
    ``**inputs`` does not provide."""

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


def to_onnx(
    component: str,
    module: torch.nn.Module | torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    **traced: Any,
) -> ir.Model:
    """Translate a program, or a module with the inputs that it is ``traced`` with. Raises BakeError if torch cannot."""
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
        raise _unexportable(component, TypeError("torch returned no graph"))
    model = program.model
    LiftConstantsToInitializersPass(lift_all_constants=False)(model)
    return model


def _dynamic_shapes(case: Inputs, dynamic: Mapping[str, Mapping[int, Axis]]) -> dict[str, dict[int, Axis]]:
    dims: dict[str, Axis] = {}

    def dim(axis: Axis) -> Axis:
        return dims.setdefault(axis, torch.export.Dim(axis)) if isinstance(axis, str) else axis

    return {name: {axis: dim(value) for axis, value in dynamic.get(name, {}).items()} for name in case}


def find_ranges(dynamic: Mapping[str, Mapping[int, Axis]]) -> dict[str, list[int | None]]:
    """The smallest and largest length of each axis that is a ``torch.export.Dim``; None if it has no largest."""
    dims = {axis.__name__: axis for axes in dynamic.values() for axis in axes.values() if hasattr(axis, "max")}
    return {name: [int(dim.min), None if dim.max == int_oo else int(dim.max)] for name, dim in sorted(dims.items())}


def _unexportable(component: str, error: Exception) -> BakeError:
    cause = error.__cause__ or error
    return BakeError(
        f"{component}: torch cannot export this module: {str(cause).strip()[:1500]}",
        next_action="rewrite the code that the message names, or make the dimension that it specializes static",
    )


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``aten.scaled_dot_product_attention`` over ``[batch, heads, tokens, size]``. With a mask, torch.onnx's translation is used.

    Scales the queries instead of the scores, which could overflow half precision. ONNX Runtime fuses scale, transposition and
    product into one FusedMatMul.
    """
    size = query.shape[-1]
    if attn_mask is not None or dropout_p or is_causal or enable_gqa or not isinstance(size, int):
        return aten_scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = op.CastLike(scale or 1.0 / math.sqrt(size), query)
    scores = op.MatMul(op.Mul(query, factor), op.Transpose(key, perm=[0, 1, 3, 2]))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


TRANSLATIONS: dict[Any, Any] = {torch.ops.aten.scaled_dot_product_attention.default: scaled_dot_product_attention}
