"""Buffers that stay in their places give the answers of plain runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from entrypoints.runtime.io_binding import IoBindingSession


@pytest.fixture
def session() -> onnxruntime.InferenceSession:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    k = helper.make_tensor_value_info("k", TensorProto.INT64, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    nodes = [helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT), helper.make_node("Mul", ["x", "f"], ["y"])]
    graph = helper.make_graph(nodes, "scaled", [x, k], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def inputs(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"x": random.standard_normal((3, 2)).astype(np.float32).T, "k": np.array([seed + 2])}


def test_each_run_answers_its_own_inputs_from_many_threads(session: onnxruntime.InferenceSession) -> None:
    bound = IoBindingSession(session, "cpu")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda seed: bound.run(inputs(seed))["y"], range(40)))
    for seed, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, session.run(["y"], inputs(seed))[0])


def test_an_input_of_another_shape_is_refused_by_name(session: onnxruntime.InferenceSession) -> None:
    with pytest.raises(ValueError, match=r"x should have the shape \[2, 3\], has \[3, 3\]"):
        IoBindingSession(session, "cpu").run({**inputs(0), "x": np.zeros((3, 3), np.float32)})
