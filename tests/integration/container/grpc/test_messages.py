"""Messages of gRPC, compared with those of a library of protocol buffers and of Triton's client."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.contract import BadRequest
from entrypoints.open_inference.grpc.contents import CONTENT_FIELDS, FIELDS_OF_DATATYPES, read_contents
from entrypoints.open_inference.grpc.infer_request import read_addressee, read_infer_message
from entrypoints.open_inference.grpc.infer_response import write_infer_message
from entrypoints.open_inference.grpc.messages import decode, encode
from entrypoints.open_inference.grpc.schema import MESSAGES, MessageField
from entrypoints.open_inference.grpc.wire import MAX_FIELDS, NotProtobuf
from entrypoints.open_inference.infer.outputs import RequestedOutput
from entrypoints.open_inference.infer.request import InferRequest
from entrypoints.open_inference.models import OfferedModel, Tensor
from tests.support.repository import ROOT

TYPES = {
    **{1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 11: "message"},
    **{12: "bytes", 13: "uint32", 14: "enum"},
}
"""By the number in descriptor.proto."""
DTYPES = {
    **{"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"},
    **{f"{kind}INT{bits}": f"{kind.lower()}int{bits}" for kind in ("", "U") for bits in (8, 16, 32, 64)},
}
Described = Mapping[str, tuple[int, str, bool]]


def describe(descriptor: Any) -> Described:
    """Number, type and whether it is repeated, by the name of the field."""
    return {field.name: (field.number, TYPES[field.type], bool(field.is_repeated)) for field in descriptor.fields}


def find_message(pool: Any, name: str) -> Any:
    package = "grpc.health.v1" if name.startswith("HealthCheck") else "inference"
    return pool.FindMessageTypeByName(f"{package}.{name}")


def reserve_nothing(_amount: int, _what: str) -> None:
    """In place of a budget."""


def make_model(inputs: Mapping[str, str]) -> OfferedModel:
    """With inputs of any rank, by their datatype."""
    tensors = {name: Tensor(datatype, None) for name, datatype in inputs.items()}
    return OfferedModel("any", "any", "any", tensors, {f"{name}_out": tensor for name, tensor in tensors.items()})


@pytest.fixture(scope="module")
def triton() -> Any:
    from tritonclient.grpc import service_pb2

    return service_pb2


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The descriptors of docs/reference/open_inference.proto."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_tools import protoc

    target = tmp_path_factory.mktemp("protoc") / "set"
    folder = ROOT / "docs/reference"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={target}", "open_inference.proto"]) == 0
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(Path(target).read_bytes()).file:
        pool.Add(file)
    return pool


def test_the_tables_are_the_published_file(published: Any) -> None:
    for name, fields in MESSAGES.items():
        if not name.startswith("HealthCheck"):
            ours = {each: (field.number, field.kind, field.repeated) for each, field in fields.items()}
            assert ours == describe(find_message(published, name)), name
    contents = describe(find_message(published, "InferTensorContents"))
    assert {name: number for name, (number, _, _) in contents.items()} == CONTENT_FIELDS
    service = published.FindServiceByName("inference.GRPCInferenceService")
    from entrypoints.server.grpc.methods import NAMES

    served = {name.rpartition("/")[2] for name in NAMES if "inference" in name}
    assert {method.name for method in service.methods} == served


def test_the_tables_are_part_of_triton_s_and_of_grpc_s(triton: Any) -> None:
    from grpc_health.v1 import health_pb2

    pool = triton.DESCRIPTOR.pool
    for name, fields in MESSAGES.items():
        file = health_pb2 if name.startswith("HealthCheck") else triton
        theirs = find_message(file.DESCRIPTOR.pool, name)
        described = describe(theirs)
        for each, field in fields.items():
            assert described[each] == (field.number, field.kind, field.repeated), f"{name}.{each}"
            if field.kind == "enum":
                values = {value.name: value.number for value in theirs.fields_by_name[each].enum_type.values}
                assert field.values.items() <= values.items()
    contents = describe(find_message(pool, "InferTensorContents"))
    assert {name: number for name, (number, _, _) in contents.items()} == CONTENT_FIELDS


def values_of(field: MessageField) -> st.SearchStrategy[Any]:
    strategies: Mapping[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int32": st.integers(-(2**31), 2**31 - 1),
        "uint32": st.integers(0, 2**32 - 1),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "uint64": st.integers(0, 2**64 - 1),
        "string": st.text(max_size=20),
        "enum": st.sampled_from(sorted(field.values) or ["none"]),
    }
    if field.kind == "message":
        return messages_of(field.message)
    return strategies[field.kind]


def messages_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        each: st.lists(values_of(field), max_size=3) if field.repeated else values_of(field)
        for each, field in MESSAGES[name].items()
        if not field.is_map and not field.in_place and field.kind not in ("bytes", "double")
    }
    return st.fixed_dictionaries({}, optional=fields)


HAVE_ENUMS = ("ModelConfigResponse", "HealthCheckResponse")
"""Only written: no request has an enum."""
ANSWERS = [name for name in MESSAGES if name.endswith("Response") and MESSAGES[name]]


@pytest.mark.parametrize("name", ANSWERS)
def test_messages_are_written_and_read_as_a_library_does(name: str) -> None:
    from google.protobuf.json_format import ParseDict
    from google.protobuf.message_factory import GetMessageClass
    from grpc_health.v1 import health_pb2
    from tritonclient.grpc import service_pb2

    file = health_pb2 if name.startswith("HealthCheck") else service_pb2
    kind = GetMessageClass(find_message(file.DESCRIPTOR.pool, name))

    @settings(max_examples=40, deadline=None)
    @given(messages_of(name))
    def check(values: dict[str, Any]) -> None:
        wanted = ParseDict(values, kind())
        assert kind.FromString(encode(name, values)) == wanted
        if name not in HAVE_ENUMS:
            assert kind.FromString(encode(name, decode(name, wanted.SerializeToString()))) == wanted

    check()


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
