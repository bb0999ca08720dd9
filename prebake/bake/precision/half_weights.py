"""Stores weights of a graph in half precision; a Cast restores fp32 when the graph runs."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from prebake.bake.graphs.initializers import MIN_EXTERNAL_BYTES
from prebake.bake.weights.dtypes import PRECISIONS
from prebake.bake.weights.numpy_arrays import Array

_DTYPES = {precision: np.dtype(getattr(ml_dtypes, name, name)) for precision, name in PRECISIONS.items()}


def store_half_weights(model: ir.Model, precision: str, *, exact: bool) -> int:
    """Store every large fp32 initializer in ``precision`` (fp16 or bf16), followed by a Cast to fp32. Returns their number.

    exact: convert only initializers that lose nothing. Otherwise all are rounded, except those with values that overflow.
    """
    count = 0
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            half = _round(value, precision, exact)
            if half is not None and value.uses() and not value.is_graph_output():
                _insert_cast(graph, value, ir.Tensor(half, dtype=ir.DataType.from_numpy(half.dtype), name=value.name))
                count += 1
    return count


def _round(value: ir.Value, precision: str, exact: bool) -> Array | None:
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.nbytes < MIN_EXTERNAL_BYTES:
        return None
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        half: Array = array.astype(_DTYPES[precision])
        same = np.array_equal(half.astype(np.float32), array)
        fits = bool(np.isfinite(half.astype(np.float32)).all())
    return half if (same if exact else fits) else None


def _insert_cast(graph: ir.Graph, value: ir.Value, half: ir.TensorProtocol) -> None:
    """The initializer keeps its name. Its users read the output of the Cast."""
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
