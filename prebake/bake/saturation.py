"""Which 8-bit products of a graph may saturate on x86 processors without VNNI (``entrypoints.saturation``).

Those processors add two products of an unsigned and a signed number in 16 bits. 255 * (64 + 64) still fits, so weights of seven
bits are safe on every processor; larger ones are not. Products of two signed numbers, or of two unsigned ones, are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from prebake.bake.arrays import Array


class Places(NamedTuple):
    """Of an operator's inputs: the signed weights, and the zero point of what they are multiplied by."""

    weights: tuple[int, ...]
    zero_point: int | None = None


OPERATORS = {
    "DynamicQuantizeLSTM": Places((1, 2)),
    "DynamicQuantizeMatMul": Places((1,)),
    "MatMulInteger": Places((1,), 2),
    "MatMulIntegerToFloat": Places((1,), 4),
    "QAttention": Places((1,), 6),
    "QGemm": Places((3,), 2),
    "QLinearConv": Places((3,), 2),
    "QLinearMatMul": Places((3,), 2),
}
"""Those that saturate on an emulated Haswell (``tests/unit/bake/test_saturation.py``); ONNX Runtime's ConvInteger and
MatMulNBits do not."""
_REFUSES = ("QLinearConv", "QLinearMatMul")
"""ONNX Runtime 1.31.1 refuses these if both inputs are signed and the exact kernels are asked for."""
_SAFE = 64


@dataclass(frozen=True)
class Saturating:
    """Nodes whose products may saturate, by name. ``avoidable``: ONNX Runtime can compute them exactly, if it is asked to.
    ``unavoidable``: it cannot, since their signed numbers are no constants, or since it would refuse another node."""

    avoidable: tuple[str, ...] = ()
    unavoidable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.avoidable or self.unavoidable)

    def __str__(self) -> str:
        exact = (
            f"{len(self.avoidable)} nodes have 8-bit products that saturate on x86 processors without VNNI; there ONNX Runtime "
            "is asked for exact kernels, which are slower"
        )
        wrong = (
            f"8-bit products of {', '.join(self.unavoidable)} saturate on x86 processors without VNNI, so that answers differ "
            "there: quantise weights to seven bits (reduce_range), or both inputs to unsigned numbers"
        )
        return "; ".join(([exact] if self.avoidable else []) + ([wrong] if self.unavoidable else []))


def find_saturating(model: ir.Model, *, optimised: bool = True) -> Saturating:
    """The nodes of every graph of ``model``, subgraphs included. ``optimised``: nothing is fused as it is opened; otherwise
    ONNX Runtime may make products of what DequantizeLinear makes of signed weights."""
    operators = OPERATORS if optimised else {**OPERATORS, "DequantizeLinear": Places((0,))}
    nodes = [node for graph in model.graphs() for node in graph if node.op_type in operators]
    mixed = [node for node in nodes if not _both_signed(node)]
    constant = tuple(_name(node) for node in mixed if any(_is_wide(value) for value in _weights(node)))
    variable = tuple(
        _name(node) for node in mixed if node.op_type in OPERATORS and any(map(_is_variable, _weights(node)))
    )
    if any(node.op_type in _REFUSES for node in nodes if node not in mixed):
        return Saturating((), constant + variable)
    return Saturating(constant, variable)


def has_products(model: ir.Model) -> bool:
    """Whether any operator of it computes in 8 bits by itself, as no QuantizeLinear and DequantizeLinear do."""
    return any(node.op_type in OPERATORS for graph in model.graphs() for node in graph)


def _both_signed(node: ir.Node) -> bool:
    if node.op_type not in OPERATORS:
        return False
    place = OPERATORS[node.op_type].zero_point
    others = [node.inputs[0], node.inputs[place] if place is not None and place < len(node.inputs) else None]
    return any(value is not None and _type(value) is ir.DataType.INT8 for value in others)


def _type(value: ir.Value) -> ir.DataType | None:
    return value.const_value.dtype if value.const_value is not None else value.dtype


def _weights(node: ir.Node) -> Iterator[ir.Value]:
    places = OPERATORS[node.op_type].weights if node.op_type in OPERATORS else (0,)
    signed = (node.inputs[place] for place in places if place < len(node.inputs))
    return (value for value in signed if value is not None)


def _is_wide(value: ir.Value) -> bool:
    """A constant of int8 that needs all eight bits."""
    constant = value.const_value
    if constant is None or constant.dtype is not ir.DataType.INT8:
        return False
    numbers = _read(constant)
    return bool(numbers.size and (numbers.max() > _SAFE or numbers.min() < -_SAFE))


def _read(tensor: ir.TensorProtocol) -> Array:
    """Numbers of int8. onnx_ir reads no file that has several names, as those have that are linked from the store."""
    if isinstance(tensor, ir.ExternalTensor) and tensor.size:
        return np.memmap(tensor.path, np.int8, "r", tensor.offset or 0, (tensor.size,))
    return tensor.numpy()


def _is_variable(value: ir.Value) -> bool:
    return value.const_value is None and value.dtype is ir.DataType.INT8


def _name(node: ir.Node) -> str:
    return node.name or f"{node.op_type} of '{node.outputs[0].name}'"


def unshare(model: ir.Model) -> None:
    """Give each 8-bit product signed constants of its own. ONNX Runtime 1.31.1 opens no graph with exact kernels if two products
    share a matrix or a zero point ("Attempt to replace the existing tensor")."""
    for graph in (each for each in model.graphs() if isinstance(each, ir.Graph)):
        seen: set[str] = set()
        for node in [each for each in graph if each.op_type in OPERATORS or each.op_type == "DequantizeLinear"]:
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
    made = ir.Value(name=name, type=value.type, shape=value.shape, const_value=copied)
    graph.initializers[name] = made
    return made
