"""Operators of an ONNX model: those that ONNX Runtime does not support, and random ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from prebake.errors import Problem

_RANDOM_TYPES = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)
_RUNTIME_DOMAINS = ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.ml", "ai.onnx.training")
"""Domains other than ONNX's own whose operators ONNX Runtime supports."""
_RUNTIME_TYPES = ("Affine", "Crop", "DynamicSlice", "ImageScaler", "MeanVarianceNormalization", "ParametricSoftplus",
                  "ScaledTanh", "ThresholdedRelu", "GivenTensorFill", "Scale", "GRUUnit", "ATen",
                  "SimplifiedLayerNormalization", "LayerNormalization")  # fmt: skip
"""Operators that ONNX Runtime supports in ONNX's domain, although ONNX does not define them, or no longer does."""


def walk_nodes(message: Any) -> Iterator[onnx.NodeProto]:
    """Every node of a model, graph or function, including those of subgraphs."""
    if isinstance(message, onnx.ModelProto):
        yield from walk_nodes(message.graph)
        for function in message.functions:
            yield from walk_nodes(function)
        return
    for node in message.node:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from walk_nodes(graph)


def find_unsupported_operators(model: onnx.ModelProto) -> Iterator[Problem]:
    """Opsets that are newer than the installed ONNX, and custom operators."""
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            yield Problem(f"opset {opset.version}", f"is newer than {newest}, the newest supported opset")
    functions = {(function.domain, function.name) for function in model.functions}
    reported: set[tuple[str, str]] = set()
    for node in walk_nodes(model):
        operator = (node.domain, node.op_type)
        if operator in functions or operator in reported or _is_supported(*operator):
            continue
        reported.add(operator)
        domain = f" of the domain {node.domain}" if node.domain else ""
        yield Problem(f"the operator {node.op_type}{domain}", "is neither ONNX's nor ONNX Runtime's")


def _is_supported(domain: str, name: str) -> bool:
    if domain in ("", "ai.onnx"):
        return onnx.defs.has(name) or name in _RUNTIME_TYPES
    return domain in _RUNTIME_DOMAINS


def find_random_nodes(model: onnx.ModelProto) -> Iterator[str]:
    """Nodes that generate random numbers. Dropout does so in training mode only."""
    nodes = list(walk_nodes(model))
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"}
    false = {name for name, tensor in constants.items() if _is_false(tensor)}
    for node in nodes:
        training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] not in {"", *false}
        if node.op_type in _RANDOM_TYPES or training:
            yield f"{node.op_type} ({node.name or node.output[0]})"


def _is_false(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == onnx.TensorProto.BOOL and not onnx.numpy_helper.to_array(tensor).any()
