"""Messages of gRPC, compared with those of a library of protocol buffers and of Triton's client."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.contract import BadRequest
from entrypoints.open_inference.grpc.contents import FIELDS_OF_DATATYPES, read_contents
from entrypoints.open_inference.grpc.infer_request import read_addressee, read_infer_message
from entrypoints.open_inference.grpc.infer_response import write_infer_message
from entrypoints.open_inference.grpc.wire import MAX_FIELDS, NotProtobuf
from entrypoints.open_inference.infer.outputs import RequestedOutput
from entrypoints.open_inference.infer.request import InferRequest
from entrypoints.open_inference.models import OfferedModel, Tensor

DTYPES = {
    **{"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"},
    **{f"{kind}INT{bits}": f"{kind.lower()}int{bits}" for kind in ("", "U") for bits in (8, 16, 32, 64)},
}


def reserve_nothing(_amount: int, _what: str) -> None:
    """In place of a budget."""


def make_model(inputs: Mapping[str, str]) -> OfferedModel:
    """With inputs of any rank, by their datatype."""
    tensors = {name: Tensor(datatype, None) for name, datatype in inputs.items()}
    return OfferedModel("any", "any", "any", tensors, {f"{name}_out": tensor for name, tensor in tensors.items()})


def add_typed(request: Any, name: str, datatype: str, array: np.ndarray) -> None:
    tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
    getattr(tensor.contents, FIELDS_OF_DATATYPES[datatype]).extend(array.ravel().tolist())


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "FP16"])
def test_typed_contents_are_the_tensor(triton: Any, datatype: str) -> None:
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind == "f":
        elements = [0.0, -1.5, float(np.finfo(dtype).max), float("inf"), 1 / 3, 2.0]
    elif dtype.kind == "b":
        elements = [True, False, True, True, False, False]
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        elements = [low, high, 0, 1, 100, high // 3]
    array = np.array(elements, dtype).reshape(2, 3)
    request = triton.ModelInferRequest(model_name="any", id="a")
    add_typed(request, "x", datatype, array)
    read = read_infer_message(make_model({"x": datatype}), request.SerializeToString(), reserve_nothing)
    assert read.inputs["x"].dtype == dtype
    np.testing.assert_array_equal(read.inputs["x"], array)
    assert read.id == "a"


def test_raw_contents_are_the_tensors(triton: Any) -> None:
    request = triton.ModelInferRequest(model_name="any", model_version="1")
    request.parameters["timeout"].int64_param = 2_500_000
    arrays: dict[str, Any] = {"half": np.arange(6, dtype=np.float16).reshape(3, 2), "whole": np.array(7, np.int64)}
    for name, array in arrays.items():
        request.inputs.add(name=name, datatype={"half": "FP16", "whole": "INT64"}[name], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    request.inputs.add(name="texts", datatype="BYTES", shape=[2])
    request.raw_input_contents.append(b"\x01\0\0\0a\x02\0\0\0bc")
    content = request.SerializeToString()
    model = make_model({"half": "FP16", "whole": "INT64", "texts": "BYTES"})
    read = read_infer_message(model, content, reserve_nothing)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read.inputs[name], array)
    assert read.inputs["texts"].tolist() == [b"a", b"bc"]
    assert read.timeout == 2.5
    assert [each.name for each in read.outputs] == ["half_out", "whole_out", "texts_out"]
    assert read_addressee(content) == ("any", "1")


def test_answers_have_raw_contents(triton: Any) -> None:
    model = make_model({"x": "FP32", "texts": "BYTES"})
    asked = tuple(RequestedOutput(name, binary=True) for name in model.outputs)
    outputs = {"x_out": np.array([[1, 2]], np.float32), "texts_out": np.array(["ä", b"\xff"], object)}
    answer = write_infer_message(model, InferRequest("a", {}, asked), outputs)
    response = triton.ModelInferResponse.FromString(answer.body)
    assert (response.model_name, response.model_version, response.id) == ("any", "1", "a")
    assert [(each.name, each.datatype, list(each.shape)) for each in response.outputs] == [
        ("x_out", "FP32", [1, 2]),
        ("texts_out", "BYTES", [2]),
    ]
    assert np.frombuffer(response.raw_output_contents[0], np.float32).tolist() == [1, 2]
    assert response.raw_output_contents[1] == b"\x02\0\0\0\xc3\xa4\x01\0\0\0\xff"


def refuse(model: OfferedModel, request: Any) -> str:
    with pytest.raises(BadRequest) as error:
        read_infer_message(model, request.SerializeToString(), reserve_nothing)
    assert error.value.status == 400
    return str(error.value)


def test_problems_are_told_together(triton: Any) -> None:
    model = make_model({"x": "FP32", "n": "INT8", "h": "FP16"})
    request = triton.ModelInferRequest(model_name="any")
    add_typed(request, "y", "FP32", np.zeros(1))
    add_typed(request, "n", "INT8", np.array([1]))
    request.outputs.add(name="nothing")
    text = refuse(model, request)
    for problem in (
        "y is not an input",
        "the input x is missing",
        "the input h is missing",
        "nothing is not an output",
    ):
        assert problem in text
    request = triton.ModelInferRequest(model_name="any")
    request.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.append(1)
    request.inputs.add(name="n", datatype="INT8", shape=[1]).contents.int_contents.append(200)
    request.inputs.add(name="h", datatype="FP16", shape=[1])
    text = refuse(model, request)
    for problem in ("x: has 1 elements", "n: has a number that INT8 cannot hold", "h: FP16 has no typed contents"):
        assert problem in text
    request.raw_input_contents.append(b"1234")
    assert "raw_input_contents has 1 tensors, inputs has 3" in refuse(model, request)


MODEL = make_model({"x": "FP32", "n": "INT64", "t": "BYTES"})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_messages_are_refused_in_words(data: st.DataObject) -> None:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="any")
    add_typed(request, "x", "FP32", np.ones(3))
    add_typed(request, "n", "INT64", np.array([1, 2**40]))
    add_typed(request, "t", "BYTES", np.array([b"a", b"bc"], object))
    content = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read_addressee(damaged)
        read_infer_message(MODEL, damaged, reserve_nothing)
    except (BadRequest, NotProtobuf):
        return


def test_messages_of_many_fields_are_refused() -> None:
    inner = b"\x22\x00" * (MAX_FIELDS // 2)
    head = b"\x2a" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7])
    axes = b"\x2a\x83\x10\x1a\x80\x10" + b"\x01" * 2048  # an input whose shape has so many
    for content in (b"\x2a\x00" * (MAX_FIELDS + 1), (head + inner) * 3, axes * 3):
        with pytest.raises(BadRequest, match="more than"):
            read_infer_message(MODEL, content, reserve_nothing)
    with pytest.raises(NotProtobuf):
        read_addressee(b"\x08\x00" * (MAX_FIELDS + 1))


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "FP32", "BYTES"])
def test_memory_is_reserved_before_it_is_taken(triton: Any, datatype: str) -> None:
    """The most elements that so many bytes can have."""
    contents = triton.InferTensorContents()
    count = 200_000
    getattr(contents, FIELDS_OF_DATATYPES[datatype]).extend([b""] * count if datatype == "BYTES" else [1] * count)
    content = contents.SerializeToString()
    reserved: list[int] = []
    tracemalloc.start()
    array = read_contents(content, 0, len(content), datatype, (count,), lambda amount, _what: reserved.append(amount))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.shape == (count,)
    assert peak <= sum(reserved) + 10_000
