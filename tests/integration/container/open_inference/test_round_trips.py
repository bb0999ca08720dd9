"""Any tensor: as Triton's client encodes it to our arrays, and our answer to its arrays."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.open_inference.dtypes import ARRAY_TYPES, BF16, BOOL, BYTES, INTEGER_RANGES
from entrypoints.open_inference.infer.outputs import RequestedOutput
from entrypoints.open_inference.infer.request import InferRequest, read_infer_request
from entrypoints.open_inference.infer.response import choose_encoding, compress_answer, write_infer_response
from entrypoints.open_inference.infer.tensor_data import Shape, fill_objects
from entrypoints.open_inference.models import OfferedModel, Tensor
from tests.support.container.open_inference import ignore, make_input

settings.register_profile("few", max_examples=25, deadline=None)
few = settings.get_profile("few")
DATATYPES = sorted(ARRAY_TYPES)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def draw_array(data: st.DataObject, datatype: str, shape: Shape, *, finite: bool = False) -> np.ndarray:
    """As we keep it: BF16 as uint16, BYTES as objects."""
    count = math.prod(shape)
    if datatype == BYTES:
        texts = data.draw(st.lists(TEXTS if finite else st.binary(max_size=6), min_size=count, max_size=count))
        return fill_objects(texts, shape)
    if datatype == BOOL:
        return np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool).reshape(shape)
    if datatype in INTEGER_RANGES:
        values = st.lists(st.integers(*INTEGER_RANGES[datatype]), min_size=count, max_size=count)
        return np.array(data.draw(values), ARRAY_TYPES[datatype]).reshape(shape)
    stored = np.dtype(ARRAY_TYPES[datatype])
    content = data.draw(st.binary(min_size=count * stored.itemsize, max_size=count * stored.itemsize))
    array = np.frombuffer(content, stored).reshape(shape)
    if datatype == BF16:  # NaN has many forms; a conversion to float32 and back need not keep them
        return np.where(array & 0x7F80 == 0x7F80, 0x3F80, array).astype(stored)
    return np.where(np.isfinite(array), array, 0).astype(stored) if finite else array


def as_client_array(array: np.ndarray, datatype: str) -> np.ndarray:
    """The client takes and gives BF16 as float32."""
    return np.asarray(array.astype(np.uint32) << 16).view(np.float32) if datatype == BF16 else array


def offer(datatype: str, shape: Shape) -> OfferedModel:
    """A model whose input and output have one datatype, and only dynamic axes."""
    tensor = Tensor(datatype, tuple(f"axis_{number}" for number in range(len(shape))))
    return OfferedModel("any", "any", "any", {"x": tensor}, {"y": tensor})


def is_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=other.dtype.kind == "f")


@pytest.mark.parametrize("datatype", DATATYPES)
@few
@given(data=st.data(), shape=SHAPES)
def test_binary_data_of_the_client_is_read_as_it_was(datatype: str, data: st.DataObject, shape: Shape) -> None:
    from tritonclient.http import InferenceServerClient

    array = draw_array(data, datatype, shape)
    given_input = make_input("x", as_client_array(array, datatype), datatype=datatype)
    body, length = InferenceServerClient.generate_request_body([given_input], request_id="7", timeout=1500)
    request = read_infer_request(offer(datatype, shape), body, str(length), json.loads, ignore)
    read = request.inputs["x"]
    assert (read.dtype, read.shape) == (np.dtype(ARRAY_TYPES[datatype]), shape)
    assert read.tobytes() == array.tobytes() if datatype != BYTES else read.tolist() == array.tolist()
    assert read.flags.aligned
    assert read.flags.writeable
    assert (request.id, request.timeout) == ("7", 0.0015)
    assert request.outputs == (RequestedOutput("y", binary=True),)


@pytest.mark.parametrize("datatype", [each for each in DATATYPES if each != BF16])
@few
@given(data=st.data(), shape=SHAPES)
def test_json_of_the_client_is_read_as_it_was(datatype: str, data: st.DataObject, shape: Shape) -> None:
    from tritonclient.http import InferenceServerClient

    array = draw_array(data, datatype, shape, finite=True)
    given_input = make_input("x", array, datatype=datatype, binary=False)
    body, length = InferenceServerClient.generate_request_body([given_input])
    assert length is None
    read = read_infer_request(offer(datatype, shape), body, "", json.loads, ignore).inputs["x"]
    assert read.dtype == np.dtype(ARRAY_TYPES[datatype])
    assert is_equal(read, array)


@pytest.mark.parametrize("datatype", ["FP64", "INT8", BOOL, BYTES])
@few
@given(data=st.data(), shape=SHAPES)
def test_nested_lists_are_read_like_flat_ones(datatype: str, data: st.DataObject, shape: Shape) -> None:
    array = draw_array(data, datatype, shape, finite=True)
    for nested in (array.tolist(), array.ravel().tolist()):
        entry = {"name": "x", "shape": list(shape), "datatype": datatype, "data": nested}
        body = json.dumps({"inputs": [entry]}).encode()
        request = read_infer_request(offer(datatype, shape), body, "", json.loads, ignore)
        assert is_equal(request.inputs["x"], array)
        assert request.outputs == (RequestedOutput("y", binary=False),)


def read_answer(model: OfferedModel, array: np.ndarray, *, binary: bool, accept_encoding: str = "") -> Any:
    """What the client makes of our answer: its InferResult."""
    from tritonclient.http import InferResult

    request = InferRequest("é", {}, (RequestedOutput("y", binary),))
    answer = compress_answer(write_infer_response(model, request, {"y": array}), accept_encoding)
    length = answer.headers.get("inference-header-content-length")
    assert (length is not None) is binary
    assert answer.media_type == ("application/octet-stream" if binary else "application/json")
    result = InferResult.from_response_body(
        answer.body, header_length=length, content_encoding=answer.headers.get("content-encoding")
    )
    assert result.get_response()["id"] == "é"
    return result


@pytest.mark.parametrize("datatype", DATATYPES)
@few
@given(data=st.data(), shape=SHAPES, accept_encoding=st.sampled_from(["", "gzip", "deflate"]))
def test_the_client_reads_our_binary_data(
    datatype: str, accept_encoding: str, data: st.DataObject, shape: Shape
) -> None:
    array = draw_array(data, datatype, shape)
    result = read_answer(offer(datatype, shape), array, binary=True, accept_encoding=accept_encoding)
    assert result.get_output("y")["datatype"] == datatype
    assert is_equal(result.as_numpy("y"), as_client_array(array, datatype))


@pytest.mark.parametrize("datatype", [each for each in DATATYPES if each != BF16])
@few
@given(data=st.data(), shape=SHAPES)
def test_the_client_reads_our_json(datatype: str, data: st.DataObject, shape: Shape) -> None:
    array = draw_array(data, datatype, shape, finite=True)
    assert is_equal(read_answer(offer(datatype, shape), array, binary=False).as_numpy("y"), array)


def test_json_has_null_for_what_is_not_finite() -> None:
    array = np.array([np.nan, np.inf, 1.0], np.float32)
    result = read_answer(offer("FP32", (3,)), array, binary=False)
    assert result.get_output("y")["data"] == [None, None, 1.0]
    assert np.isnan(result.as_numpy("y")[0])


def test_big_endian_arrays_are_sent_in_little_endian() -> None:
    array = np.array([1, 2, 3], ">i4")
    assert read_answer(offer("INT32", (3,)), array, binary=True).as_numpy("y").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br", "gzip"),
        ("deflate;q=0.8, gzip;q=0.5", "deflate"),
        ("*", "gzip"),
        ("*;q=0, deflate", "deflate"),
        ("GZIP ; Q=1", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.3, identity", None),
        ("br", None),
        ("gzip;q=", None),
        ("gzip;q=nan", None),
        ("", None),
    ],
)
def test_the_encoding_that_the_client_prefers(accepted: str, chosen: str | None) -> None:
    assert choose_encoding(accepted) == chosen
