"""Graphs in ONNX's own operators: what providers other than ONNX Runtime's CPU and CUDA ones take.

Graphs over published weights multiply by ``FusedMatMul(transB=1)`` (``prebake.bake.repoint``), which TensorRT does not
know. It says the same as a transposition of a constant, which such a provider folds as it compiles.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

_MICROSOFT = "com.microsoft"


def save_plain(graph: Path, target: Path) -> Path:
    """Write ``graph`` without FusedMatMul to ``target``, a file of the same folder: weights stay where they are."""
    model = onnx.load(str(graph), load_external_data=False)
    nodes = [plain for node in model.graph.node for plain in _plain(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def _plain(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The node, or what says the same where it is a product that transposes its right-hand matrix and does no more."""
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    others = {name: value for name, value in values.items() if name not in ("transB", "alpha") and value}
    if (node.domain, node.op_type) != (_MICROSOFT, "FusedMatMul") or others or values.get("alpha", 1.0) != 1.0:
        return [node]
    left, right = node.input
    if not values.get("transB"):
        return [helper.make_node("MatMul", [left, right], list(node.output), name=node.name)]
    turned = f"{node.output[0]}.transposed"
    return [
        helper.make_node("Transpose", [right], [turned], name=turned, perm=[1, 0]),
        helper.make_node("MatMul", [left, turned], list(node.output), name=node.name),
    ]
