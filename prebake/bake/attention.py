"""How torch's attention is written as a graph.

torch.onnx's own translation transposes the keys through reshapes whose shapes the graph computes: eleven nodes where one
does. Opening a session and running a small model cost about as much as they have nodes.
"""

from __future__ import annotations

import math
from typing import Any

from onnxscript import opset20 as op
from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention


def attend(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``aten.scaled_dot_product_attention`` over ``[batch, heads, tokens, size]``; masks are left to torch.onnx.

    The queries are scaled, not the scores, which could pass the largest half-precision number. ONNX Runtime makes one
    FusedMatMul of scale, transposition and product.
    """
    size = query.shape[-1]
    if attn_mask is not None or dropout_p or is_causal or enable_gqa or not isinstance(size, int):
        return aten_scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = op.CastLike(scale or 1.0 / math.sqrt(size), query)
    scores = op.MatMul(op.Mul(query, factor), op.Transpose(key, perm=[0, 1, 3, 2]))
    return op.MatMul(op.Softmax(scores, axis=-1), value)
