"""A graph that tells which shape it was run in, served without code: masked means of rows, and the rows doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from prebake.documents.manifest.schema import SCHEMA
from tests.support.container.baking import SESSION, describe_file, make_model, write_manifest
from tests.support.container.running import Server

ROWS, MASK = [[1.0, 2.0, 4.0]], [[1, 1, 0]]
Axis = int | str


def make_pooled(batch: Axis = "batch", tokens: Axis = "tokens") -> onnx.ModelProto:
    """rows and mask [batch, tokens]: mean [batch, 1] of the unmasked, doubled [batch, tokens] and seen, the rows' own shape."""
    along = helper.make_tensor("along", TensorProto.INT64, [1], [1])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    nodes = [
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["rows", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "along"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["weights", "along"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Mul", ["rows", "two"], ["doubled"]),
        helper.make_node("Shape", ["rows"], ["seen"]),
    ]
    inputs = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, [batch, tokens]),
        helper.make_tensor_value_info("mask", TensorProto.INT64, [batch, tokens]),
    ]
    outputs = [
        helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 1]),
        helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [batch, tokens]),
        helper.make_tensor_value_info("seen", TensorProto.INT64, [2]),
    ]
    return make_model(helper.make_graph(nodes, "pooled", inputs, outputs, [along, two]))


def make_pairs() -> onnx.ModelProto:
    """As ``make_pooled`` looks, of an even number of tokens."""
    model = make_pooled()
    pairs = helper.make_tensor("pairs", TensorProto.INT64, [2], [-1, 2])
    model.graph.initializer.append(pairs)
    model.graph.node.insert(0, helper.make_node("Shape", ["paired"], ["back"]))
    model.graph.node.insert(0, helper.make_node("Reshape", ["rows", "pairs"], ["paired"]))
    model.graph.output.append(helper.make_tensor_value_info("back", TensorProto.INT64, [2]))
    return model


def answer(rows: list[list[float]], mask: list[list[int]]) -> dict[str, Any]:
    kept = np.array(rows) * np.array(mask)
    return {
        "mean": (kept.sum(1, keepdims=True) / np.array(mask).sum(1, keepdims=True)).tolist(),
        "doubled": (2 * np.array(rows)).tolist(),
    }


def bake_pooled(models: Path, buckets: dict[str, Any] | None, graph: onnx.ModelProto | None = None) -> dict[str, Any]:
    """The folder; gives the manifest. The warm-up request is of the shape [1, 3]."""
    outputs = {"mean": ["float32", ["batch", 1]], "doubled": ["float32", ["batch", "tokens"]], "seen": ["int64", [2]]}
    if graph is not None:
        outputs["back"] = ["int64", [2]]
    inputs = {"rows": ["float32", ["batch", "tokens"]], "mask": ["int64", ["batch", "tokens"]]}
    tensors = {name: {"dtype": kind, "shape": shape} for name, (kind, shape) in inputs.items()}
    shape = (buckets or {"shapes": [{"batch": 1, "tokens": 3}]})["shapes"][0]
    seen = {"seen": list(shape.values()), **({"back": [shape["batch"] * shape["tokens"] // 2, 2]} if graph else {})}
    request = {"fields": {"inputs": json.dumps({"rows": ROWS, "mask": MASK})}}
    contents = {
        "pooled/model.onnx": (graph or make_pooled()).SerializeToString(),
        "tensors.json": json.dumps({"pooled": {"inputs": tensors, "outputs": {}}}).encode(),
        "warmup/request.json": json.dumps(request).encode(),
        "warmup/answer.json": json.dumps({"outputs": {**answer(ROWS, MASK), **seen}}).encode(),
    }
    for name, content in contents.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_bytes(content)
    component = {
        "graph": "pooled/model.onnx",
        "precision": "fp32",
        "providers": ["CPUExecutionProvider"],
        "session": dict(SESSION),
        "inputs": inputs,
        "outputs": outputs,
        "byte_ranges": {},
        "key": "0" * 64,
        "key_inputs": {},
        **({"buckets": buckets} if buckets else {}),
    }
    warmup = {"request": "warmup/request.json", "answer": "warmup/answer.json"}
    manifest = {
        "schema": SCHEMA,
        "name": "pooled",
        "target": "cpu",
        "checkpoint": "sample",
        "model": {"module": "entrypoints.model.tensor_model", "revision": "0" * 64},
        "components": {"pooled": component},
        "files": {name: describe_file(content) for name, content in contents.items()},
        "warmup": {**warmup, "media_type": "application/json", "tolerance": 0.001},
        "limits": {"body_bytes": 10_000_000, "queue": 2, "seconds": 30},
    }
    write_manifest(models, manifest)
    return manifest


def bucket_phases(server: Server) -> list[str]:
    phases = server.get("/startup").json()["phases"]
    return [each["name"] for each in phases if each["name"].startswith("bucket ") and each["seconds"] is not None]
