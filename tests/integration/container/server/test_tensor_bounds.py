"""Tensors as JSON that would become much larger than the request, or its answer much longer."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from entrypoints.contract import BadRequest
from entrypoints.model.tensor_model import InputSignature, read_array, read_inputs

WANTED = {"x": InputSignature("float32", (2,))}


@pytest.mark.parametrize("dtype", ["string", "float32"])
def test_one_long_text_does_not_make_all_texts_long(dtype: str) -> None:
    """numpy's own texts would take 4 GB."""
    texts = ["a"] * 1000 + ["b" * 1_000_000]
    tracemalloc.start()
    try:
        if dtype == "string":
            assert read_array(texts, dtype).tolist() == texts
        else:
            with pytest.raises(ValueError, match="nested lists of numbers"):
                read_array(texts, dtype)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_many_unknown_names_get_a_short_answer() -> None:
    text = json.dumps({f"name {number} " + "n" * 1000: 0 for number in range(20_000)})
    with pytest.raises(BadRequest) as caught:
        read_inputs(text, WANTED)
    assert len(str(caught.value)) < 5000
    assert "19980 more are not inputs" in str(caught.value)


def test_a_long_name_is_compared_with_none() -> None:
    begun = time.process_time()
    with pytest.raises(BadRequest, match="is not an input"):
        read_inputs(json.dumps({"x" * 3_000_000: 0}), WANTED)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("shape", [[1] * 65, [10**4000] * 20, [-1], [True], [1 << 41]])
def test_shapes_are_bounded(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="shape"):
        read_array({"shape": shape, "data": ""}, "float32")


def test_large_whole_numbers_are_read_as_what_they_are() -> None:
    assert read_array([2**63], "uint64").tolist() == [2**63]
    with pytest.raises(OverflowError):
        read_array([2**63], "int64")
    with pytest.raises(OverflowError):
        read_array([2**64], "uint64")
