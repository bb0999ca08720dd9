"""Rewrites graphs to standard ONNX operators, for execution providers other than ONNX Runtime's CPU and CUDA.

Graphs over published weights use ``FusedMatMul(transB=1)`` (``prebake.bake.graphs.external_data``), which TensorRT does not
support. It equals a MatMul with a Transpose of a constant, which TensorRT folds when it builds the engine.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

_MICROSOFT = "com.microsoft"


def decompose_fused_matmul(graph: Path, target: Path) -> Path:
    """Write ``graph`` without FusedMatMul to ``target`` in the same folder; it refers to the same weight files. Returns
    ``target``."""
    model = onnx.load(str(graph), load_external_data=False)
    nodes = [standard for node in model.graph.node for standard in _decompose(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def _decompose(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Equivalent standard nodes for a FusedMatMul that at most transposes its right operand; any other node unchanged."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    others = {name: value for name, value in values.items() if name not in ("transB", "alpha") and value}
    if (node.domain, node.op_type) != (_MICROSOFT, "FusedMatMul") or others or values.get("alpha", 1.0) != 1.0:
        return [node]
    left, right = node.input
    if not values.get("transB"):
        return [helper.make_node("MatMul", [left, right], list(node.output), name=node.name)]
    transposed = f"{node.output[0]}.transposed"
    return [
        helper.make_node("Transpose", [right], [transposed], name=transposed, perm=[1, 0]),
        helper.make_node("MatMul", [left, transposed], list(node.output), name=node.name),
    ]
