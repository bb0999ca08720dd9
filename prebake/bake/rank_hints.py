"""The shapes of inputs of which a file says none, as far as the weights that meet them tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx

from entrypoints.shapes import Axes

_KEEP = ("Identity", "Relu", "Cast", "Sigmoid", "Tanh", "Neg", "Abs", "Clip", "LeakyRelu", "Dropout", "Softmax")
"""Operators whose output has the shape of their first input."""
_BROADCAST = ("Add", "Sub", "Mul", "Div")
Dims = tuple[int, ...]


def hint_axes(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, Axes]:
    """Axes by input, for those of ``names`` that an operator with weights reads. A free axis is called ``INPUT.PLACE``."""
    weights = dict(_weights(model.graph))
    source = {name: name for name in names}
    found: dict[str, Axes] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if (input_ := source.get(name)) is None or input_ in found:
                continue
            others = [weights.get(each) for each in node.input]
            lengths = _lengths(node, place, others)
            if lengths is not None:
                found[input_] = tuple(each or f"{input_}.{number}" for number, each in enumerate(lengths))
        if node.op_type in _KEEP and node.input and node.input[0] in source:
            source[node.output[0]] = source[node.input[0]]
    return found


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, Dims]]:
    yield from ((each.name, tuple(each.dims)) for each in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            yield node.output[0], tuple(node.attribute[0].t.dims)


def _lengths(node: onnx.NodeProto, place: int, weights: list[Dims | None]) -> tuple[int, ...] | None:
    """Of the input at ``place``; 0 for a free axis. None if the operator tells nothing."""
    weight = weights[1 - place] if len(weights) > 1 and place < 2 else None
    if not weight:
        return None
    attributes = {each.name: each.i for each in node.attribute}
    if node.op_type in _BROADCAST:
        return _broadcast(weight)
    if node.op_type == "MatMul":
        return _product(place, weight)
    if node.op_type == "Gemm":
        return _gemm(place, weight, attributes)
    if place:
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
    """The other tensor has the weight's own lengths, but for those that are stretched, and rows."""
    own = tuple(0 if each == 1 else each for each in weight)
    return own if len(own) > 1 else (0, *own)


def _product(place: int, weight: Dims) -> tuple[int, ...]:
    inner = weight[-2 if place == 0 and len(weight) > 1 else -1]
    batch = weight[:-2]
    return (*batch, 0, inner) if place == 0 else (*batch, inner, 0)


def _gemm(place: int, weight: Dims, attributes: Mapping[str, int]) -> tuple[int, ...]:
    """``A' @ B'``: the inner length is the first of B', or the last of A'."""
    own, other = ("transA", "transB") if place == 0 else ("transB", "transA")
    inner = weight[1 if bool(attributes.get(other)) == (place == 0) else 0]
    return (0, inner) if bool(attributes.get(own)) == (place == 1) else (inner, 0)
