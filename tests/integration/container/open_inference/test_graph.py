"""A graph behind the protocol: inputs that no bucket holds or that the graph refuses, texts, types and batches."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from entrypoints.contract import BadRequest
from entrypoints.manifest.shape_buckets import Buckets
from entrypoints.open_inference.infer.graph import find_batch_size, run_graph
from entrypoints.open_inference.models import OfferedModel, Tensor
from entrypoints.runtime.bucket_session import Bucketing, BucketSession
from entrypoints.runtime.onnx_session import OnnxSession
from tests.support.container.baking import make_model, make_total
from tests.support.container.open_inference import make_echo

TOTAL = OfferedModel("total", "a", "total", {"x": Tensor("FP32", ("batch", 4))}, {"y": Tensor("FP32", ("batch", 1))})


def open_session(content: bytes) -> OnnxSession:
    return OnnxSession(onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]))


def test_inputs_that_no_bucket_holds_are_the_clients_error() -> None:
    session = open_session(make_total().SerializeToString())
    bucketing = Bucketing(Buckets(({"batch": 2},), {"x": 0.0}), {"x": ("batch", 4)}, {"y": ("batch", 1)})
    buckets = BucketSession(session, bucketing, lambda: session, lambda _: None)
    assert run_graph(TOTAL, buckets, {"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[4.0]]
    with pytest.raises(BadRequest, match="batch 3: it accepts batch 1 to 2") as caught:
        run_graph(TOTAL, buckets, {"x": np.ones((3, 4), np.float32)})
    assert caught.value.status == 400


def test_inputs_that_the_graph_refuses_are_the_clients_error() -> None:
    x, index, y = (
        helper.make_tensor_value_info(name, kind, [axis])
        for name, kind, axis in (
            ("x", TensorProto.FLOAT, "n"),
            ("i", TensorProto.INT64, "m"),
            ("y", TensorProto.FLOAT, "m"),
        )
    )
    graph = helper.make_graph([helper.make_node("Gather", ["x", "i"], ["y"])], "gather", [x, index], [y])
    session = open_session(make_model(graph).SerializeToString())
    inputs = {"x": Tensor("FP32", ("n",)), "i": Tensor("INT64", ("m",))}
    model = OfferedModel("gather", "a", "gather", inputs, {"y": Tensor("FP32", ("m",))})
    values = np.array([1, 2], np.float32)
    assert run_graph(model, session, {"x": values, "i": np.array([1])})["y"].tolist() == [2.0]
    with pytest.raises(BadRequest, match="gather: the graph refuses these inputs") as caught:
        run_graph(model, session, {"x": values, "i": np.array([7])})
    assert caught.value.status == 400


def test_texts_are_utf8() -> None:
    session = open_session(make_echo())
    tensors = {
        "numbers": Tensor("FP32", ("rows", 2)),
        "flags": Tensor("BOOL", ()),
        "texts": Tensor("BYTES", ("texts",)),
    }
    model = OfferedModel("echo", "a", "echo", tensors, {"texts_out": tensors["texts"]})
    numbers = {"numbers": np.zeros((0, 2), np.float32), "flags": np.array(True)}
    texts = np.array([b"na\xc3\xafve", "é", b""], object)
    assert run_graph(model, session, {**numbers, "texts": texts})["texts_out"].tolist() == ["naïve", "é", ""]
    with pytest.raises(BadRequest, match="texts should be text in UTF-8") as caught:
        run_graph(model, session, {**numbers, "texts": np.array([b"\xff"], object)})
    assert caught.value.status == 400


def test_an_output_of_another_type_than_the_manifest_says_is_the_images_error() -> None:
    session = open_session(make_total().SerializeToString())
    model = TOTAL._replace(outputs={"y": Tensor("INT32", ("batch", 1))})
    with pytest.raises(TypeError, match="the output y has the type float32, should have int32"):
        run_graph(model, session, {"x": np.ones((1, 4), np.float32)})


@pytest.mark.parametrize(
    ("shape", "given", "size"),
    [
        (("batch", 4), (3, 4), 3),
        ((1, "n"), (1, 9), 1),
        ((), (), 1),
        (None, (5, 2), 5),
        (None, (), 1),
        (("batch",), (0,), 0),
    ],
)
def test_the_batch_size_is_the_length_of_a_dynamic_first_axis(
    shape: tuple[int | str, ...] | None, given: tuple[int, ...], size: int
) -> None:
    model = TOTAL._replace(inputs={"x": Tensor("FP32", shape)})
    assert find_batch_size(model, {"x": np.zeros(given, np.float32)}) == size
