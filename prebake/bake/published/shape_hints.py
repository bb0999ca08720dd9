"""Infers the axes of inputs without a shape from the weights that operators combine them with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx

from entrypoints.manifest.shape_buckets import Axes

_SHAPE_PRESERVING = (
    "Identity",
    "Relu",
    "Cast",
    "Sigmoid",
    "Tanh",
    "Neg",
    "Abs",
    "Clip",
    "LeakyRelu",
    "Dropout",
    "Softmax",
)
"""Operators whose output has the shape of their first input."""
_BROADCASTING = ("Add", "Sub", "Mul", "Div")
Dims = tuple[int, ...]


def infer_axes(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, Axes]:
    """The axes of those inputs in ``names`` that an operator with weights reads. A dynamic axis is called ``INPUT.INDEX``."""
    weights = dict(_list_weights(model.graph))
    source = {name: name for name in names}
    axes: dict[str, Axes] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if (graph_input := source.get(name)) is None or graph_input in axes:
                continue
            lengths = _infer_lengths(node, index, [weights.get(other) for other in node.input])
            if lengths is not None:
                axes[graph_input] = tuple(length or f"{graph_input}.{at}" for at, length in enumerate(lengths))
        if node.op_type in _SHAPE_PRESERVING and node.input and node.input[0] in source:
            source[node.output[0]] = source[node.input[0]]
    return axes


def _list_weights(graph: onnx.GraphProto) -> Iterator[tuple[str, Dims]]:
    yield from ((initializer.name, tuple(initializer.dims)) for initializer in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            yield node.output[0], tuple(node.attribute[0].t.dims)


def _infer_lengths(node: onnx.NodeProto, index: int, weights: list[Dims | None]) -> tuple[int, ...] | None:
    """Lengths of the input at ``index``; 0 for a dynamic axis. None if the operator does not determine them."""
    weight = weights[1 - index] if len(weights) > 1 and index < 2 else None
    if not weight:
        return None
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type in _BROADCASTING:
        return _broadcast(weight)
    if node.op_type == "MatMul":
        return _matmul(index, weight)
    if node.op_type == "Gemm":
        return _gemm(index, weight, attributes)
    if index:
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        channels = weight[1] * attributes.get("group", 1) if node.op_type == "Conv" else weight[0]
        return (0, channels, *(0 for _ in weight[2:]))
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return (0, 0, weight[2])
    if node.op_type in ("BatchNormalization", "InstanceNormalization"):
        return (0, weight[0], 0, 0)
    return (0, *weight) if node.op_type == "LayerNormalization" else None


def _broadcast(weight: Dims) -> tuple[int, ...]:
    """The weight's lengths, dynamic where it has length 1; with a batch axis in front of a vector."""
    lengths = tuple(0 if length == 1 else length for length in weight)
    return lengths if len(lengths) > 1 else (0, *lengths)


def _matmul(index: int, weight: Dims) -> tuple[int, ...]:
    inner = weight[-2 if index == 0 and len(weight) > 1 else -1]
    batch = weight[:-2]
    return (*batch, 0, inner) if index == 0 else (*batch, inner, 0)


def _gemm(index: int, weight: Dims, attributes: Mapping[str, int]) -> tuple[int, ...]:
    """``A' @ B'``: the inner length is the first of B', or the last of A'."""
    own, other = ("transA", "transB") if index == 0 else ("transB", "transA")
    inner = weight[1 if bool(attributes.get(other)) == (index == 0) else 0]
    return (0, inner) if bool(attributes.get(own)) == (index == 1) else (inner, 0)
