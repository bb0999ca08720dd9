"""A small published graph, as strangers bring one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 48


def write_graph(path: Path, *, external: bool = False, seed: int = 3, data: str = "weights.bin") -> Path:
    """Rows of four ids and a number for each row to scores [rows, 4, 8]; one table is there twice, and one vector is small."""
    random = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    table = weight("table", 16, WIDTH)
    same = numpy_helper.from_array(numpy_helper.to_array(table), "same_table")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Gather", ["same_table", "ids"], ["again"]),
        helper.make_node("Add", ["rows", "again"], ["sum"]),
        helper.make_node("MatMul", ["sum", "linear"], ["hidden"]),
        helper.make_node("Add", ["hidden", "shift"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "scale"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "published",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", 4]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["rows", 1, 1]),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 4, 8])],
        [table, same, weight("linear", WIDTH, 8), weight("shift", 8)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path), save_as_external_data=external, location=data, size_threshold=0)
    return path
