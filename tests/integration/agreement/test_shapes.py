"""The builder judges the shapes of a sample as the container judges those of a request."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from entrypoints.contract import BadRequest
from entrypoints.model.tensor_model import InputSignature, read_inputs
from prebake.bake.errors import BakeError
from prebake.bake.importers.signature import Signature, TensorSignature, fit_inputs

Axes = tuple[int | str, ...] | None
CASES: dict[str, tuple[dict[str, Axes], dict[str, tuple[int, ...]], bool]] = {
    "fixed": ({"x": (2, 3)}, {"x": (2, 3)}, True),
    "another length": ({"x": (2, 3)}, {"x": (2, 4)}, False),
    "another rank": ({"x": (2, 3)}, {"x": (2, 3, 1)}, False),
    "any rank": ({"x": None}, {"x": (2, 1, 2)}, True),
    "any rank, a scalar": ({"x": None}, {"x": ()}, True),
    "a scalar": ({"x": ()}, {"x": ()}, True),
    "no scalar": ({"x": ()}, {"x": (1,)}, False),
    "one name, one length": ({"a": ("rows", 2), "b": ("rows",)}, {"a": (3, 2), "b": (3,)}, True),
    "one name, two lengths": ({"a": ("rows", 2), "b": ("rows",)}, {"a": (3, 2), "b": (4,)}, False),
    "question marks": ({"x": (1, "?", "?")}, {"x": (1, 4, 6)}, True),
    "question marks of two inputs": ({"a": ("?", 2), "b": ("?",)}, {"a": (3, 2), "b": (4,)}, True),
    "no names": ({"x": ("", "")}, {"x": (4, 6)}, True),
    "numbers as names": ({"x": ("-1", "-1")}, {"x": (4, 6)}, True),
    "tf2onnx": ({"a": ("unk__7",), "b": ("unk__7",)}, {"a": (4,), "b": (6,)}, True),
    "a name twice in one input": ({"x": ("n", "n")}, {"x": (4, 6)}, True),
    "nothing": ({"x": ("rows", 2)}, {"x": (0, 2)}, True),
}


def by_builder(wanted: dict[str, Axes], given: dict[str, Any]) -> bool:
    signature = Signature(tuple(TensorSignature(name, "float32", axes) for name, axes in wanted.items()), ())
    try:
        fit_inputs("net", signature, given)
    except BakeError:
        return False
    return True


def by_container(wanted: dict[str, Axes], given: dict[str, Any]) -> bool:
    try:
        read_inputs(json.dumps(given), {name: InputSignature("float32", axes) for name, axes in wanted.items()})
    except BadRequest:
        return False
    return True


@pytest.mark.parametrize(("wanted", "given", "fits"), CASES.values(), ids=CASES)
def test_both_take_the_same_shapes(wanted: dict[str, Axes], given: dict[str, tuple[int, ...]], fits: bool) -> None:
    arrays = {name: np.ones(shape, np.float32) for name, shape in given.items()}
    listed = {
        name: array.tolist() if array.size else {"shape": list(array.shape), "data": ""}
        for name, array in arrays.items()
    }
    assert by_builder(wanted, arrays) is fits
    assert by_container(wanted, listed) is fits
