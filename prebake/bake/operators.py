"""The operators of a published graph: those that this ONNX Runtime cannot have, and those that draw numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from prebake.errors import Problem

_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
_RUNTIME = ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.ml", "ai.onnx.training")
"""Domains beside ONNX's own whose operators ONNX Runtime has."""


def nodes_of(message: Any) -> Iterator[onnx.NodeProto]:
    """Every node of a model, graph or function, those of subgraphs among them."""
    if isinstance(message, onnx.ModelProto):
        yield from nodes_of(message.graph)
        for function in message.functions:
            yield from nodes_of(function)
        return
    for node in message.node:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nodes_of(graph)


def find_unknown(model: onnx.ModelProto) -> Iterator[Problem]:
    """Opsets that are newer than the installed ONNX knows, and operators that nobody but the publisher has."""
    newest = onnx.defs.onnx_opset_version()
    for each in model.opset_import:
        if each.domain in ("", "ai.onnx") and each.version > newest:
            yield Problem(f"opset {each.version}", f"is newer than {newest}, the newest that is known here")
    own = {(each.domain, each.name) for each in model.functions}
    told: set[tuple[str, str]] = set()
    for node in nodes_of(model):
        kind = (node.domain, node.op_type)
        if kind in own or kind in told or _is_known(*kind):
            continue
        told.add(kind)
        where = f" of the domain {node.domain}" if node.domain else ""
        yield Problem(f"the operator {node.op_type}{where}", "is none of ONNX's or ONNX Runtime's")


def _is_known(domain: str, name: str) -> bool:
    if domain in ("", "ai.onnx"):
        return onnx.defs.has(name) or name in _CONTRIBUTED
    return domain in _RUNTIME


_CONTRIBUTED = ("Affine", "Crop", "DynamicSlice", "ImageScaler", "MeanVarianceNormalization", "ParametricSoftplus",
                "ScaledTanh", "ThresholdedRelu", "GivenTensorFill", "Scale", "GRUUnit", "ATen",
                "SimplifiedLayerNormalization", "LayerNormalization")  # fmt: skip
"""Operators that ONNX Runtime has in ONNX's own domain, though ONNX has them not, or has them no more."""


def find_random(model: onnx.ModelProto) -> Iterator[str]:
    """Nodes that draw numbers: each run may answer otherwise. Dropout does so in training alone."""
    nodes = list(nodes_of(model))
    held = {each.name: each for each in model.graph.initializer}
    held |= {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"}
    off = {name for name, tensor in held.items() if tensor.data_type == onnx.TensorProto.BOOL and not _is_on(tensor)}
    for node in nodes:
        training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] not in {"", *off}
        if node.op_type in _RANDOM or training:
            yield f"{node.op_type} ({node.name or node.output[0]})"


def _is_on(tensor: onnx.TensorProto) -> bool:
    return bool(onnx.numpy_helper.to_array(tensor).any())
