"""Weights kept in half precision in a graph, and cast to fp32 where it is opened."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from prebake.bake.arrays import Array
from prebake.bake.repoint import SMALLEST

_DTYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_ARRAYS: dict[str, np.dtype[Any]] = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}


def keep_half(model: ir.Model, precision: str, *, exact: bool) -> int:
    """Keep every large fp32 initialiser in ``precision``, a Cast to fp32 after it; how many.

    exact: only those that lose nothing by it. Otherwise all are rounded, but for what the type has no number for.
    """
    count = 0
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            half = _rounded(value, precision, exact)
            if half is not None and value.uses() and not value.is_graph_output():
                _cast(graph, value, ir.Tensor(half, dtype=_DTYPES[precision], name=value.name))
                count += 1
    return count


def _rounded(value: ir.Value, precision: str, exact: bool) -> Array | None:
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.nbytes < SMALLEST:
        return None
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        half: Array = array.astype(_ARRAYS[precision])
        same = np.array_equal(half.astype(np.float32), array)
        fits = bool(np.isfinite(half.astype(np.float32)).all())
    return half if (same if exact else fits) else None


def _cast(graph: ir.Graph, value: ir.Value, half: ir.TensorProtocol) -> None:
    """The initialiser keeps its name; what read it reads the Cast."""
    name, uses = value.name, list(value.uses())
    node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", ir.DataType.FLOAT)], num_outputs=1, name=f"{name}_cast")
    (output,) = node.outputs
    output.name, output.dtype, output.shape = f"{name}_fp32", ir.DataType.FLOAT, value.shape
    for user, index in uses:
        user.replace_input_with(index, output)
    value.const_value, value.dtype = half, half.dtype
    if len(graph):
        graph.insert_before(graph[0], node)
    else:
        graph.append(node)
