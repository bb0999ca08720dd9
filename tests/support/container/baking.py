"""A models folder as the builder would make it: two tiny graphs, one over external weights, and a warm-up request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from prebake.bake.weights.digests import compute_digests
from prebake.documents.canonical import seal
from prebake.documents.manifest.schema import SCHEMA

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)
BIAS = 0.5
VALUES = [1.0, 2.0, 3.0, 4.0]
SESSION = {"optimize": "disable", "prepack": False}


def answer(factor: float) -> list[float]:
    row = np.array([VALUES], np.float32)
    return [float(value) for value in (factor * (row @ WEIGHTS) + row.sum() + BIAS).ravel()]


def make_tensors() -> list[tuple[Any, Any]]:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])
    return [(x, y)]


def make_linear(weights_file: str) -> onnx.ModelProto:
    ((x, y),) = make_tensors()
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", weights_file), ("offset", "64"), ("length", str(WEIGHTS.nbytes))):
        weights.external_data.add(key=key, value=value)
    return make_model(helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "linear", [x], [y], [weights]))


def make_total() -> onnx.ModelProto:
    ((x, y),) = make_tensors()
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
    return make_model(helper.make_graph([node], "total", [x], [y], [axes]))


def make_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def bake(models: Path) -> dict[str, Any]:
    """Write every file and the manifest; gives the manifest, to be changed and written again by a test."""
    warmup = {"fields": {"values": "1,2,3,4", "factor": 2, "clip": {"file": "warmup/clip.bin"}}}
    contents = {
        "linear/model.onnx": make_linear("model.bin").SerializeToString(),
        "linear/model.bin": bytes(64) + WEIGHTS.tobytes(),
        "linear/bias.txt": str(BIAS).encode(),
        "total/model.onnx": make_total().SerializeToString(),
        "warmup/request.json": json.dumps(warmup).encode(),
        "warmup/clip.bin": bytes(1000),
        "warmup/answer.json": json.dumps({"result": answer(2), "clip": 1000, "repeat": 1}).encode(),
    }
    for name, content in contents.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_bytes(content)
    manifest = {
        "schema": SCHEMA,
        "name": "tiny",
        "target": "cpu",
        "checkpoint": "sample",
        "model": {"module": "tests.support.container.tiny.model", "revision": "0" * 64},
        "components": {
            "linear": describe_component("linear", {"linear/model.bin": [[64, WEIGHTS.nbytes]]}),
            "total": describe_component("total", {}),
        },
        "files": {name: describe_file(content) for name, content in contents.items()},
        "warmup": {
            "request": "warmup/request.json",
            "answer": "warmup/answer.json",
            "media_type": "application/json",
            "tolerance": 0.001,
        },
        "limits": {"body_bytes": 10_000_000, "queue": 2, "seconds": 30},
    }
    write_manifest(models, manifest)
    return manifest


def describe_component(name: str, reads: dict[str, Any]) -> dict[str, Any]:
    return {
        "graph": f"{name}/model.onnx",
        "precision": "fp32",
        "providers": ["CPUExecutionProvider"],
        "session": dict(SESSION),
        "inputs": {"x": ["float32", ["batch", 4]]},
        "outputs": {"y": ["float32", ["batch", "n"]]},
        "byte_ranges": reads,
        "key": "0" * 64,
        "key_inputs": {},
    }


def describe_file(content: bytes) -> dict[str, Any]:
    return {"size": len(content), **compute_digests(content)._asdict(), "origin": "asset"}


def replace_file(models: Path, manifest: dict[str, Any], name: str, content: bytes) -> None:
    """Another content, and a manifest that knows of it: the build itself was wrong."""
    (models / name).write_bytes(content)
    manifest["files"][name] = describe_file(content)
    write_manifest(models, manifest)


def write_manifest(models: Path, manifest: dict[str, Any]) -> None:
    """With the digest of its content, as the builder writes it; the content need not be what the builder would accept."""
    (models / "manifest.json").write_bytes(seal(manifest))
