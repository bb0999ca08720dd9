"""Initializers are found in weight files by content, and only where the graph still means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.external_data import LinkReport, WeightFiles, link_initializers
from prebake.bake.weights.numpy_arrays import write_arrays

RANDOM = np.random.default_rng(3)
Array = np.ndarray[Any, Any]


def random(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def graph_of(nodes: list[Any], constants: dict[str, Array], inputs: dict[str, list[Any]], output: str = "y") -> Any:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(each, name) for name, each in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )


def run(model: Any, inputs: dict[str, Array]) -> Array:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    answer: Array = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    return answer


def check(model: Any, weights: dict[str, Array], inputs: dict[str, Array], folder: Path) -> LinkReport:
    """Repoint, and compare the answers before and after."""
    write_arrays(folder / "model.safetensors", weights)
    wanted = run(model, inputs)
    graph = ir.from_proto(model)
    report = link_initializers(graph, WeightFiles([folder / "model.safetensors"]), folder / "constants.safetensors")
    onnx_files.save(graph, folder / "model.onnx", "g")
    assert np.abs(run(folder / "model.onnx", inputs) - wanted).max() < 1e-5
    return report


def test_a_vector_of_a_few_kilobytes_stays_in_the_graph(tmp_path: Path) -> None:
    """Each that lies in a file costs the opening of a session more than its bytes in the graph do."""
    short, long = random(1000), random(5000)
    nodes = [
        helper.make_node("Add", ["x", "short"], ["sum"]),
        helper.make_node("Concat", ["sum", "long"], ["y"], axis=0),
    ]
    model = graph_of(nodes, {"short": short, "long": long}, {"x": [1000]})
    report = check(model, {"short": short, "long": long}, {"x": random(1000)}, tmp_path)
    assert report == LinkReport(direct=1, direct_bytes=20_000)


def test_a_matrix_as_published_is_direct(tmp_path: Path) -> None:
    w = random(20, 30)
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": [None, 20]})
    assert check(model, {"any": w}, {"x": random(2, 20)}, tmp_path) == LinkReport(direct=1, direct_bytes=2400)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_a_transposed_matrix_becomes_a_fused_product(tmp_path: Path, rank: int) -> None:
    w, shape = random(20, 30), [*[2, 3, 4][: rank - 1], 20]
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": [None] * (rank - 1) + [20]})
    assert check(model, {"any": w.T}, {"x": random(*shape)}, tmp_path) == LinkReport(
        transposed=1, transposed_bytes=2400
    )


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("op", ["Gemm", "FusedMatMul"])
def test_products_that_transpose_already_are_turned(tmp_path: Path, op: str, transposed: int) -> None:
    w = random(30, 20) if transposed else random(20, 30)
    domain = "com.microsoft" if op == "FusedMatMul" else ""
    node = helper.make_node(op, ["x", "w"], ["y"], domain=domain, transB=transposed)
    model = graph_of([node], {"w": w}, {"x": [None, 20]})
    assert check(model, {"any": w.T}, {"x": random(2, 20)}, tmp_path).transposed == 1


def test_a_tensor_used_otherwise_as_well_stays_as_it_is(tmp_path: Path) -> None:
    w = random(20, 20)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "w"], ["y"])]
    model = graph_of(nodes, {"w": w}, {"x": [20, 20]})
    report = check(model, {"any": w.T}, {"x": random(20, 20)}, tmp_path)
    assert report == LinkReport(left=1, left_bytes=1600)
    assert (tmp_path / "constants.safetensors").exists()


def test_the_left_side_of_a_product_stays_as_it_is(tmp_path: Path) -> None:
    w = random(20, 30)
    model = graph_of([helper.make_node("MatMul", ["w", "x"], ["y"])], {"w": w}, {"x": [30, None]})
    assert check(model, {"any": w.T}, {"x": random(30, 2)}, tmp_path).left == 1


def test_a_vector_times_a_matrix_stays_as_it_is(tmp_path: Path) -> None:
    w = random(20, 30)
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": [20]})
    assert check(model, {"any": w.T}, {"x": random(20)}, tmp_path).left == 1


def test_one_published_tensor_serves_two_initializers(tmp_path: Path) -> None:
    w = random(20, 20)
    nodes = [helper.make_node("Add", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "wt"], ["y"])]
    model = graph_of(nodes, {"w": w, "wt": w.T.copy()}, {"x": [20, 20]})
    report = check(model, {"any": w}, {"x": random(20, 20)}, tmp_path)
    assert (report.direct, report.transposed, report.left) == (1, 1, 0)


def test_equal_constants_are_stored_once(tmp_path: Path) -> None:
    w = random(16, 16)
    nodes = [helper.make_node("Add", ["x", "a"], ["s"]), helper.make_node("Mul", ["s", "b"], ["y"])]
    model = graph_of(nodes, {"a": w, "b": w}, {"x": [16, 16]})
    assert check(model, {}, {"x": random(16, 16)}, tmp_path).left == 2
    assert (tmp_path / "constants.safetensors").stat().st_size < 2 * w.nbytes


def test_a_tensor_that_lies_askew_is_not_pointed_at(tmp_path: Path) -> None:
    w = random(16, 16)
    header = '{"a":{"dtype":"F32","shape":[16,16],"data_offsets":[0,1024]}}'
    text = header.encode() + b" " * ((1 - 8 - len(header)) % 4)  # data begin at 4n + 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + w.tobytes())
    assert WeightFiles([path]).find(w) is None


def test_small_constants_stay_in_the_graph(tmp_path: Path) -> None:
    bias = random(8)
    model = graph_of([helper.make_node("Add", ["x", "b"], ["y"])], {"b": bias}, {"x": [8]})
    assert check(model, {"any": bias}, {"x": random(8)}, tmp_path) == LinkReport()
    assert not (tmp_path / "constants.safetensors").exists()
