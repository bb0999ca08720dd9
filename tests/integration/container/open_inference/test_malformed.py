"""A request that does not fit is one 400 with a plain message: never another exception, never much memory."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoints.contract import BadRequest
from entrypoints.open_inference.infer.request import InferRequest, read_infer_request
from entrypoints.open_inference.models import OfferedModel, Tensor
from tests.support.container.open_inference import ignore

INPUTS = {
    "x": Tensor("FP32", ("batch", 2)),
    "ids": Tensor("INT8", ("batch",)),
    "names": Tensor("BYTES", ("count",)),
    "any": Tensor("UINT64", None, optional=True),
    "flag": Tensor("BOOL", (), optional=True),
}
MODEL = OfferedModel("net", "net", "net", INPUTS, {"y": Tensor("FP32", (1,)), "half": Tensor("BF16", (1,))})
X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
IDS = {"name": "ids", "shape": [1], "datatype": "INT8", "data": [1]}
NAMES = {"name": "names", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
Y = {"name": "y"}
Document = Mapping[str, Any]


def read(document: object, binary: bytes = b"", header_length: str | None = None) -> InferRequest:
    """A text is JSON already."""
    content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    length = str(len(content)) if header_length is None else header_length
    return read_infer_request(MODEL, content + binary, length, json.loads, ignore)


def ask(*inputs: Document, outputs: object = (Y,), **rest: object) -> Document:
    """The valid request, but for what is given: inputs by name, and other keys."""
    named = {each["name"]: each for each in (X, IDS, NAMES, *inputs)}
    return {"inputs": list(named.values()), "outputs": outputs, **rest}


def binary(entry: Document, size: object, **changes: object) -> dict[str, object]:
    """The input with binary data in place of its list."""
    changed = {**entry, "parameters": {"binary_data_size": size}, **changes}
    return {name: value for name, value in changed.items() if name != "data"}


def refuse(*arguments: Any, **named: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        read(*arguments, **named)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 3000
    return str(caught.value)


def test_the_request_that_the_cases_change_is_valid() -> None:
    request = read(ask(id="é"))
    assert {name: array.tolist() for name, array in request.inputs.items()} == {
        "x": [[1.0, 2.0]],
        "ids": [1],
        "names": ["a", "b"],
    }
    assert (request.id, request.timeout) == ("é", None)
    packed = struct.pack("<2f", 1, 2)
    assert read(ask(binary(X, 8)), packed).inputs["x"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (" ", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "should be a JSON object"),
        ("{}", "inputs should be a list"),
        ({"inputs": {}}, "inputs should be a list"),
        ({"inputs": [1, None, []]}, "inputs[0] should be an object with a name"),
        ({"inputs": [X, IDS, NAMES], "outputs": {}}, "outputs should be a list"),
        (ask(outputs=[1]), "outputs[0] should be an object with a name"),
        (ask(outputs=[Y, Y]), "the output y is given twice"),
        (ask(outputs=[{"name": "yy"}]), 'yy is not an output (did you mean "y"?)'),
        (ask(outputs=[{"name": "half"}]), "half is BF16, which has no form in JSON"),
        (ask(outputs=[{**Y, "parameters": []}, {**Y, "parameters": 1}]), "the output y is given twice"),
        (ask(outputs=[{**Y, "parameters": 1}]), "parameters of the output y should be an object"),
        (ask(outputs=[{**Y, "parameters": {"binary_data": 1}}]), "binary_data of y should be true or false"),
        (ask(outputs=[{**Y, "parameters": {"classification": 3}}]), "y: classification is not supported"),
        (ask(outputs=[{**Y, "parameters": {"shared_memory_region": "r"}}]), "y: shared memory is not supported"),
        (ask(id=7), "id should be text"),
        (ask(parameters=[]), "parameters should be an object"),
        (ask(parameters={"sequence_id": 3}), "sequences are not supported"),
        (ask(parameters={"priority": -1}), "priority should be"),
        (ask(parameters={"timeout": 1.5}), "timeout should be"),
        (ask(parameters={"timeout": True}), "timeout should be"),
        (ask(parameters={"binary_data_output": "yes"}), "binary_data_output should be"),
        ({"inputs": [X, X, IDS, NAMES]}, "the input x is given twice"),
        ({"inputs": [{**X, "name": "y"}]}, "the input x is missing; the input ids is missing; the input names is"),
        ({"inputs": [{**IDS, "name": "idz"}, X, NAMES]}, 'idz is not an input (did you mean "ids"?)'),
        (ask({**X, "datatype": "FP64"}), "the datatype of x is FP64; it should be FP32"),
        (ask({**X, "datatype": "float32"}), "the datatype of x is float32, which is no datatype; it should be FP32"),
        (ask({**X, "datatype": None}), "the datatype of x is not given"),
        (ask({**X, "shape": None}), "the shape of x should be a list of whole numbers"),
        (ask({**X, "shape": [-1, 2]}), "the shape of x should be a list of whole numbers from 0 on"),
        (ask({**X, "shape": [True, 2]}), "the shape of x should be a list of whole numbers"),
        (ask({**X, "shape": [1.0, 2]}), "the shape of x should be a list of whole numbers"),
        (ask({**X, "shape": [2**63, 2]}), "the shape of x should be a list of whole numbers"),
        (ask({**X, "shape": [1] * 100_000}), "x has 100000 axes, more than 32"),
        (ask({**X, "shape": [1]}), "x has 1 axes, should have 2"),
        (ask({**X, "shape": [1, 3], "data": [1, 2, 3]}), "x has the shape [1, 3], should have ['batch', 2]"),
        (ask({**IDS, "shape": [2], "data": [1, 2]}), "ids has the shape [2], should have ['batch']"),
        (ask({**X, "shape": [2**31, 2]}, {**IDS, "shape": [2**31]}), "has 2 elements, the shape [2147483648, 2] has"),
        (ask({"name": "any", "shape": [2**31] * 32, "datatype": "UINT64", "data": [1]}), "has 1 elements, the shape"),
        (ask({"name": "any", "shape": [0, 2**40], "datatype": "UINT64", "data": []}), "too long for a tensor without"),
        (ask({**X, "data": [1]}), "x: has 1 elements, the shape [1, 2] has 2"),
        (ask({**X, "data": 1}), "x: data should be a list"),
        (ask({**X, "data": None}), "x: data should be a list"),
        (ask({**X, "data": [[1], [2]]}), "x: data should be a flat list of 2 elements, or nested"),
        (ask({**X, "data": [[1, 2, 3]]}), "x: data should be a flat list of 2 elements, or nested"),
        (ask({**X, "data": [[1, 2], 3]}), "x: data should be a flat list of 2 elements, or nested"),
        (ask({**X, "data": [[1, [2]]]}), "x: has lists, should have numbers"),
        (ask({**X, "data": [1, None]}), "x: has null, should have numbers"),
        (ask({**X, "data": [1, "2"]}), "x: has text, should have numbers"),
        (ask({**X, "data": [True, 2]}), "x: has true or false, should have numbers"),
        (ask({**X, "data": [{}, 2]}), "x: has objects, should have numbers"),
        (ask({**X, "data": [1, 1e39]}), "x: has a number that FP32 cannot hold"),
        (ask({**X, "data": [1, 10**400]}), "x: has a number that FP32 cannot hold"),
        (ask({**X, "data": [1, float("nan")]}), "x: has a number that FP32 cannot hold"),
        (ask({**X, "data": [1, float("inf")]}), "x: has a number that FP32 cannot hold"),
        (ask({**IDS, "data": [128]}), "ids: has a number that INT8 cannot hold: it has -128 to 127"),
        (ask({**IDS, "data": [10**400]}), "ids: has a number that INT8 cannot hold"),
        (ask({**IDS, "data": [1.5]}), "ids: has fractions, should have whole numbers"),
        (ask({**IDS, "data": [float("inf")]}), "ids: has fractions, should have whole numbers"),
        (ask({**IDS, "data": [False]}), "ids: has true or false, should have whole numbers"),
        (ask({"name": "flag", "shape": [], "datatype": "BOOL", "data": [2]}), "flag: should be true or false"),
        (ask({**NAMES, "data": ["a", 1]}), "names: has numbers, should have text"),
        (ask({**NAMES, "data": ["a", "\ud800"]}), "names: has half of a surrogate pair"),
        (ask({**X, "parameters": []}), "parameters of the input x should be an object"),
        (ask({**X, "parameters": {"shared_memory_region": "r"}}), "x: shared memory is not supported"),
        (ask({**X, "parameters": {"binary_data_size": 8}}), "x has both data and binary_data_size"),
        (ask({name: X[name] for name in ("name", "shape", "datatype")}), "x has neither data nor binary_data_size"),
        (ask(binary(X, -1)), "binary_data_size of x should be a number of bytes"),
        (ask(binary(X, "8")), "binary_data_size of x should be a number of bytes"),
        (ask(binary(X, True)), "binary_data_size of x should be a number of bytes"),
        (ask(binary(X, 8)), "binary_data_size of the inputs is 8 bytes together, 0 came"),
        (ask(binary(X, 10**30)), "0 came"),
    ],
)  # fmt: skip
def test_json_that_does_not_fit(document: object, message: str) -> None:
    assert message in refuse(document)


@pytest.mark.parametrize(
    ("document", "content", "message"),
    [
        (ask(), b"12345", "5 bytes follow the last input"),
        (ask(binary(X, 8)), bytes(9), "1 bytes follow the last input"),
        (ask(binary(X, 8)), bytes(7), "8 bytes together, 7 came"),
        (ask(binary(X, 9)), bytes(9), "x: has 9 bytes, FP32 [1, 2] has 8"),
        (ask(binary(X, 8, shape=[2**31, 2]), {**IDS, "shape": [2**31]}), bytes(8), "x: has 8 bytes, FP32"),
        (ask(binary({"name": "flag", "shape": [], "datatype": "BOOL"}, 1)), b"\2", "neither 0 nor 1"),
        (ask(binary(NAMES, 3)), bytes(3), "names: has 3 bytes, fewer than the lengths of 2 elements take"),
        (ask(binary(NAMES, 8, shape=[2**62])), bytes(8), "fewer than the lengths of 4611686018427387904 elements"),
        (ask(binary(NAMES, 8)), struct.pack("<II", 5, 0), "names: ends in element 0, which should have 5 bytes"),
        (ask(binary(NAMES, 8)), struct.pack("<II", 4, 0), "names: ends in the length of element 1"),
        (ask(binary(NAMES, 8)), struct.pack("<II", 2**32 - 1, 0), "names: ends in element 0, which should have 4294"),
        (ask(binary(NAMES, 9)), bytes(9), "names: has 1 bytes after its 2 elements"),
    ],
)
def test_binary_data_that_does_not_fit(document: object, content: bytes, message: str) -> None:
    assert message in refuse(document, content)


@pytest.mark.parametrize("length", ["-1", "1.5", "+2", "²", "9" * 5000, "10000", "0x10", " 2"])
def test_a_length_of_the_header_that_is_no_length(length: str) -> None:
    assert "Inference-Header-Content-Length" in refuse(ask(), header_length=length)


def test_a_raw_request_needs_one_input_whose_shape_follows() -> None:
    assert "should have one input, it has 5" in refuse("12345678", header_length="0")
    for tensor, content, message in (
        (Tensor("FP32", ("a", "b")), bytes(8), "does not follow from 8 bytes"),
        (Tensor("FP32", None), bytes(8), "does not follow from 8 bytes"),
        (Tensor("FP32", ("a", 0)), bytes(8), "does not follow from 8 bytes"),
        (Tensor("FP32", ("a", 3)), bytes(13), "x: has 13 bytes, FP32 [1, 3] has 12"),
        (Tensor("FP32", (2,)), bytes(4), "x: has 4 bytes, FP32 [2] has 8"),
        (Tensor("BYTES", ("a",)), b"text", "does not follow from 4 bytes"),
    ):
        model = MODEL._replace(inputs={"x": tensor})
        with pytest.raises(BadRequest, match="does not fit net") as caught:
            read_infer_request(model, content, "0", json.loads, ignore)
        assert message in str(caught.value)
    text = read_infer_request(MODEL._replace(inputs={"x": Tensor("BYTES", (1,))}), b"text", "0", json.loads, ignore)
    assert text.inputs["x"].tolist() == [b"text"]


def test_all_problems_are_told_at_once_and_many_are_counted() -> None:
    message = refuse({"inputs": [{**X, "shape": [1]}, {"name": "idz"}], "outputs": [{"name": "z"}], "id": 1})
    for part in ("id should be", "x has 1 axes", "idz is not an input", "names is missing", "z is not an output"):
        assert part in message
    many = refuse({"inputs": [{"name": f"n{number}" * 100, "data": []} for number in range(2000)], "outputs": [Y]})
    assert many.endswith("and 1993 more.")


@pytest.mark.parametrize(
    ("document", "content"),
    [
        (ask(binary(NAMES, 200_000, shape=[50_000])), bytes(200_000)),
        (ask(binary(NAMES, 250_000, shape=[50_000])), b"\1\0\0\0a" * 50_000),
        (ask(binary(NAMES, 300_000, shape=[50_000])), b"\2\0\0\0\xc3\xa9" * 50_000),
        (ask(binary(NAMES, 300_000, shape=[2**40])), bytes(300_000)),
        (ask({**X, "shape": [25_000, 2], "data": [0] * 50_000}), b""),
        (ask({**IDS, "data": [*range(50_000)]}), b""),
        (ask({"name": "any", "shape": [1] * 32, "datatype": "UINT64", "data": [[1]] * 25_000}), b""),
    ],
)
def test_memory_stays_a_small_multiple_of_the_body(document: object, content: bytes) -> None:
    text = json.dumps(document).encode()
    parsed = json.loads(text)
    tracemalloc.start()
    try:
        request = read_infer_request(MODEL, text + content, str(len(text)), lambda _: parsed, ignore)
    except BadRequest:
        request = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 14 * len(text + content) + 50_000
    assert request is None or len(request.inputs["names"]) == 50_000


def test_memory_is_reserved_before_it_is_taken() -> None:
    amounts: list[int] = []

    class Short(Exception):
        pass

    def reserve(amount: int, what: str) -> None:
        amounts.append(amount)
        raise Short(what)

    content = json.dumps(ask(binary(NAMES, 4000, shape=[1000]))).encode()
    with pytest.raises(Short, match="the tensors"):
        read_infer_request(MODEL, content + bytes(4000), str(len(content)), json.loads, reserve)
    assert amounts == [4000 + 1000 * 100]


VALID = json.dumps(ask(binary(X, 8), binary(NAMES, 10))).encode()
BINARY = struct.pack("<2f", 1, 2) + b"\1\0\0\0a\1\0\0\0b"


@given(
    cuts=st.lists(st.tuples(st.integers(0, len(VALID + BINARY) - 1), st.integers(0, 4), st.binary(max_size=4)), max_size=4),
    shift=st.sampled_from([0, 0, 0, -1, 1, 8, -8]),
)  # fmt: skip
def test_a_damaged_request_is_read_or_refused(cuts: list[tuple[int, int, bytes]], shift: int) -> None:
    body = bytearray(VALID + BINARY)
    for place, length, content in cuts:
        body[place : place + length] = content
    try:
        request = read_infer_request(MODEL, bytes(body), str(max(0, len(VALID) + shift)), json.loads, ignore)
    except BadRequest as error:
        request, status = None, error.status
    assert request or status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["x", "FP32", "BYTES"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the first example makes hypothesis import much
@given(
    entry=st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "shape", "datatype", "data", "parameters"), JSON)),
    rest=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "parameters", "outputs", "inputs"), JSON)),
)  # fmt: skip
def test_any_json_is_read_or_refused(entry: dict[str, object], rest: dict[str, object]) -> None:
    for document in ({**ask({**X, **entry, "name": "x"}), **rest}, {"inputs": [entry], **rest}):
        try:
            request = read(document)
        except BadRequest as error:
            request, status = None, error.status
        assert request or status == 400
