"""Finds 8-bit products of a graph that may saturate on x86 processors without VNNI (``entrypoints.hardware.int8_saturation``).

Those processors add two products of an unsigned and a signed number in 16 bits. 255 * (64 + 64) fits, so 7-bit weights are safe
on every processor, and larger weights are not. Products of two signed or of two unsigned numbers are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from prebake.bake.weights.numpy_arrays import Array


class OperandIndices(NamedTuple):
    """Input indices of an operator: its weights, which may be signed, and the zero point of the other operand."""

    weights: tuple[int, ...]
    zero_point: int | None = None


INT8_OPERATORS = {
    "DynamicQuantizeLSTM": OperandIndices((1, 2)),
    "DynamicQuantizeMatMul": OperandIndices((1,)),
    "MatMulInteger": OperandIndices((1,), 2),
    "MatMulIntegerToFloat": OperandIndices((1,), 4),
    "QAttention": OperandIndices((1,), 6),
    "QGemm": OperandIndices((3,), 2),
    "QLinearConv": OperandIndices((3,), 2),
    "QLinearMatMul": OperandIndices((3,), 2),
}
"""Operators that saturate on an emulated Haswell. ONNX Runtime's ConvInteger and MatMulNBits do not."""
_NO_EXACT_KERNEL = ("QLinearConv", "QLinearMatMul")
"""With exact kernels ONNX Runtime 1.31.1 rejects these if both inputs are signed."""
_MAX_SAFE_WEIGHT = 64


@dataclass(frozen=True)
class SaturatingNodes:
    """Names of nodes whose products may saturate. ``avoidable``: ONNX Runtime has exact kernels for them. ``unavoidable``: it
    has none, since their weights are not constant, or since exact kernels would make it reject another node."""

    avoidable: tuple[str, ...] = ()
    unavoidable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.avoidable or self.unavoidable)

    def __str__(self) -> str:
        exact = (
            f"{len(self.avoidable)} nodes have 8-bit products that saturate on x86 processors without VNNI; there the container "
            "uses exact kernels, which are slower"
        )
        wrong = (
            f"8-bit products of {', '.join(self.unavoidable)} saturate on x86 processors without VNNI and give other answers "
            "there: quantize weights to 7 bits (reduce_range), or both operands to unsigned integers"
        )
        return "; ".join(([exact] if self.avoidable else []) + ([wrong] if self.unavoidable else []))


def find_saturating_nodes(model: ir.Model, *, optimized: bool = True) -> SaturatingNodes:
    """Find the nodes in every graph of ``model``, including subgraphs.

    optimized: ONNX Runtime fuses nothing when it opens the graph. Otherwise it may fuse DequantizeLinear nodes of signed weights
        into 8-bit products.
    """
    operators = INT8_OPERATORS if optimized else {**INT8_OPERATORS, "DequantizeLinear": OperandIndices((0,))}
    nodes = [node for graph in model.graphs() for node in graph if node.op_type in operators]
    mixed = [node for node in nodes if not _both_signed(node)]
    constant = tuple(_name(node) for node in mixed if any(_is_wide(value) for value in _weights(node)))
    variable = tuple(
        _name(node) for node in mixed if node.op_type in INT8_OPERATORS and any(map(_is_variable, _weights(node)))
    )
    if any(node.op_type in _NO_EXACT_KERNEL for node in nodes if node not in mixed):
        return SaturatingNodes((), constant + variable)
    return SaturatingNodes(constant, variable)


def has_int8_products(model: ir.Model) -> bool:
    """Whether any operator computes 8-bit products. QuantizeLinear and DequantizeLinear do not."""
    return any(node.op_type in INT8_OPERATORS for graph in model.graphs() for node in graph)


def _both_signed(node: ir.Node) -> bool:
    if node.op_type not in INT8_OPERATORS:
        return False
    place = INT8_OPERATORS[node.op_type].zero_point
    others = [node.inputs[0], node.inputs[place] if place is not None and place < len(node.inputs) else None]
    return any(value is not None and _type(value) is ir.DataType.INT8 for value in others)


def _type(value: ir.Value) -> ir.DataType | None:
    return value.const_value.dtype if value.const_value is not None else value.dtype


def _weights(node: ir.Node) -> Iterator[ir.Value]:
    places = INT8_OPERATORS[node.op_type].weights if node.op_type in INT8_OPERATORS else (0,)
    signed = (node.inputs[place] for place in places if place < len(node.inputs))
    return (value for value in signed if value is not None)


def _is_wide(value: ir.Value) -> bool:
    """Whether ``value`` is an int8 constant that needs all 8 bits."""
    constant = value.const_value
    if constant is None or constant.dtype is not ir.DataType.INT8:
        return False
    values = _read(constant)
    return bool(values.size and (values.max() > _MAX_SAFE_WEIGHT or values.min() < -_MAX_SAFE_WEIGHT))


def _read(tensor: ir.TensorProtocol) -> Array:
    """The int8 values. onnx_ir refuses to read hard-linked files, and files of the store are hard-linked."""
    if isinstance(tensor, ir.ExternalTensor) and tensor.size:
        return np.memmap(tensor.path, np.int8, "r", tensor.offset or 0, (tensor.size,))
    return tensor.numpy()


def _is_variable(value: ir.Value) -> bool:
    return value.const_value is None and value.dtype is ir.DataType.INT8


def _name(node: ir.Node) -> str:
    return node.name or f"{node.op_type} of '{node.outputs[0].name}'"


def unshare_int8_constants(model: ir.Model) -> None:
    """Give each 8-bit product its own copy of shared int8 constants. With exact kernels ONNX Runtime 1.31.1 fails if two products
    share a matrix or a zero point ("Attempt to replace the existing tensor")."""
    for graph in (graph for graph in model.graphs() if isinstance(graph, ir.Graph)):
        seen: set[str] = set()
        for node in [node for node in graph if node.op_type in (*INT8_OPERATORS, "DequantizeLinear")]:
            for at, value in enumerate(node.inputs):
                if value is None or value.const_value is None or value.const_value.dtype is not ir.DataType.INT8:
                    continue
                if value.name in seen:
                    node.replace_input_with(at, _copy(graph, value, f"{value.name}.{len(seen)}"))
                seen.add(str(node.inputs[at].name))  # type: ignore[union-attr]


def _copy(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    tensor = value.const_value
    copied: ir.TensorProtocol
    if isinstance(tensor, ir.ExternalTensor):
        copied = ir.ExternalTensor(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=name,
            base_dir=tensor.base_dir,
        )
    else:
        copied = ir.tensor(tensor.numpy(), name=name)  # type: ignore[union-attr]
    copy = ir.Value(name=name, type=value.type, shape=value.shape, const_value=copied)
    graph.initializers[name] = copy
    return copy
