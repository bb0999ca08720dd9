"""Requests of the Open Inference Protocol whose tensors, lengths and names do not fit."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping
from typing import Any

from tests.support.hostile.message import HostileRequest, Target, encode, post

SIZES = {
    "BOOL": 1,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "FP16": 2,
    "BF16": 2,
    "INT32": 4,
    "UINT32": 4,
    "FP32": 4,
}
"""Bytes of an element; 8 for every other type of fixed size."""
SHAPES: tuple[object, ...] = (
    *(
        [],
        [0],
        [-1],
        [1],
        [2**31],
        [2**62, 2**62],
        [10**30],
        [1] * 100,
        [1.5],
        ["1"],
        None,
        "1",
        {},
        [True],
        [2, 3],
        [[1]],
    ),
)
DATA: tuple[object, ...] = (
    *(
        [],
        [1],
        ["a"],
        [None],
        [True],
        [1, "a"],
        [[1], [1, 2]],
        {},
        "a",
        1,
        [1e308, -1e308],
        [10**400],
        [{}],
        ["\ud800"],
        [0] * 50_000,
    ),
)
DATATYPES = ("FP32", "BYTES", "INT64", "BOOL", "FP16", "BF16", "UINT8", "fp32", "", "FP128", "x" * 1000)


def pick_model(draw: random.Random, target: Target) -> tuple[str, Mapping[str, Any]]:
    """The path of a model's inference, and one of its inputs."""
    name = draw.choice(sorted(target.models))
    return f"/v2/models/{name}/infer", draw.choice(target.models[name])


def pick_size(draw: random.Random, shape: list[int]) -> list[int]:
    """The shape with small numbers where any is allowed."""
    return [draw.randrange(1, 4) if size < 0 else size for size in shape]


def make_infer_json(draw: random.Random, target: Target) -> HostileRequest:
    """One key of one input is wrong, or the document around it is."""
    path, described = pick_model(draw, target)
    entry: dict[str, Any] = {"name": described["name"], "datatype": described["datatype"], "shape": [1], "data": ["a"]}
    match draw.randrange(5):
        case 0:
            entry["shape"] = draw.choice(SHAPES)
        case 1:
            entry["data"] = draw.choice(DATA)
        case 2:
            entry["datatype"] = draw.choice(DATATYPES)
        case 3:
            entry["name"] = draw.choice(("", "no such input", 3, None, "a" * 10_000))
        case _:
            entry["parameters"] = draw.choice(
                ({"binary_data_size": 4}, {"shared_memory_region": "r"}, [], "x", {"binary_data_size": -1})
            )
    document: dict[str, Any] = {"inputs": [entry] * draw.choice((1, 1, 2, 500))}
    if draw.random() < 0.3:
        extra = draw.choice(("inputs", "outputs", "id", "parameters", "timeout"))
        document[extra] = draw.choice(
            ([], {}, "a", 1, None, [{"name": "z"}], {"timeout": -1}, {"timeout": 1}, {"binary_data_output": "yes"})
        )
    return post("tensors as JSON", path, json.dumps(document).encode())


def make_binary(draw: random.Random, target: Target) -> HostileRequest:
    """The binary tensor extension with tensors that are too short or too long, and lengths of BYTES that lie."""
    path, described = pick_model(draw, target)
    shape = pick_size(draw, described["shape"])
    right = pack(draw, described["datatype"], shape)
    content = damage(draw, right)
    told = draw.choice((len(content), len(content), len(right), len(content) + 1, 0, -1, 2**40, "4"))
    if draw.random() < 0.2:
        shape = draw.choice(([2**40], [1000, 1000], [0], [*shape, 1]))
    entry = {
        "name": described["name"],
        "datatype": described["datatype"],
        "shape": shape,
        "parameters": {"binary_data_size": told},
    }
    head = json.dumps({"inputs": [entry]}).encode()
    wrong = ("0", "-1", str(len(head) - 1), str(len(head) + 1), str(10**18), "9" * 5000, "a", "", " 2", "1.5")
    length = str(len(head)) if draw.random() < 0.6 else draw.choice(wrong)
    return HostileRequest(
        "binary tensors",
        (
            encode(
                "POST",
                path,
                head + content,
                Content_Type="application/octet-stream",
                Inference_Header_Content_Length=length,
            ),
        ),
    )


def make_raw_tensor(draw: random.Random, target: Target) -> HostileRequest:
    """The whole body is one tensor, which may not fit the model."""
    path, _ = pick_model(draw, target)
    body = draw.randbytes(draw.choice((0, 1, 7, 8, 4096)))
    return post("raw tensor", path, body, "application/octet-stream", Inference_Header_Content_Length="0")


def make_protocol_path(draw: random.Random, target: Target) -> HostileRequest:
    """Any operation of the protocol with any body, names and versions that no model has, and admin calls without a right."""
    name = draw.choice((*target.models, "none", "..", "%2e%2e", "a/b", "", "\xe9"))
    path = draw.choice(
        (
            f"/v2/repository/models/{name}/load",
            f"/v2/repository/models/{name}/unload",
            "/v2/repository/index",
            f"/v2/models/{name}/versions/{draw.choice(('1', '2', '-1', 'x', '1' * 500))}/infer",
            f"/v2/models/{name}/generate",
            f"/v2/models/{name}/stats",
            "/v2/systemsharedmemory/region/r/register",
            "/v2/cudasharedmemory/unregister",
            "/v2/logging",
            "/v2/trace/setting",
        )
    )
    body = draw.choice(
        (b"", b"{}", b"[]", b"{", b'{"ready": 3}', b'{"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}')
    )
    token = draw.choice(("", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "t" * 5000))
    return post("protocol", path, body, Authorization=token)


def pack(draw: random.Random, datatype: str, shape: list[int]) -> bytes:
    """A tensor as the binary extension has it: BYTES have a length of four bytes before each element."""
    count = 1
    for size in shape:
        count *= size
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", 3) + b"abc" for _ in range(count))
    return draw.randbytes(SIZES.get(datatype, 8) * count)


def damage(draw: random.Random, content: bytes) -> bytes:
    match draw.randrange(5):
        case 0:
            return content[: draw.randrange(len(content) + 1)]
        case 1:
            return content + draw.randbytes(draw.randrange(1, 9))
        case 2:
            return struct.pack("<I", draw.choice((2**32 - 1, 2**31, 100, 0))) + content[4:]
        case 3:
            return draw.randbytes(len(content))
        case _:
            return content
