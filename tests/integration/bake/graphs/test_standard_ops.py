"""A graph for other providers says what ONNX Runtime's own operators said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from prebake.bake.graphs.standard_ops import decompose_fused_matmul


def make_graph(path: Path) -> None:
    random = np.random.default_rng(5)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 6])
    values = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("turned", (5, 4)), ("straight", (5, 6)))
    ]
    nodes = [
        helper.make_node("FusedMatMul", ["x", "turned"], ["h"], domain="com.microsoft", transB=1),
        helper.make_node("FusedMatMul", ["h", "straight"], ["y"], domain="com.microsoft"),
    ]
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "products", [x], [y], values)
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)


def test_products_are_onnx_own_and_come_out_the_same(tmp_path: Path) -> None:
    make_graph(tmp_path / "model.onnx")
    plain = decompose_fused_matmul(tmp_path / "model.onnx", tmp_path / "plain.onnx")
    assert {node.domain for node in onnx.load(plain).graph.node} == {""}
    x = {"x": np.random.default_rng(6).standard_normal((3, 2, 4)).astype(np.float32)}
    one, other = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, x)[0]
        for path in (tmp_path / "model.onnx", plain)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
