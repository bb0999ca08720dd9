"""Graphs that compute in 8 bits, of one operator each, and published graphs that ONNX Runtime's own quantizers made."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

Array = np.ndarray[Any, Any]
WIDTH, CHANNELS, HIDDEN = 64, 8, 16
_MICROSOFT = "com.microsoft"
_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1)]


def write_operator(path: Path, operator: str, *, signed: bool, bits: int = 8) -> Path:
    """``y`` of ``x`` by one operator. ``signed`` weights are int8; otherwise they are the same numbers as uint8, 128 higher and
    with a zero point of 128, so that both graphs have one right answer."""
    weight = _Weights(signed, bits)
    nodes, constants, inputs, output = {
        "MatMulInteger": _product,
        "MatMulIntegerToFloat": _product_to_float,
        "DynamicQuantizeMatMul": _dynamic_product,
        "QLinearMatMul": _linear_product,
        "QGemm": _gemm,
        "QLinearConv": _convolution,
        "QAttention": _attention,
        "DynamicQuantizeLSTM": _lstm,
    }[operator](weight)
    y = helper.make_tensor_value_info("y", output, None)
    graph = helper.make_graph(nodes, operator, [helper.make_tensor_value_info("x", *inputs)], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=_OPSETS, ir_version=9), str(path))
    return path


def share_constants(path: Path) -> None:
    """Have the product there twice, of the same matrix and zero point, as tied weights are; ``y`` is the sum of both."""
    model = onnx.load(str(path))
    (node,) = model.graph.node
    again = onnx.NodeProto()
    again.CopyFrom(node)
    node.output[0], again.output[0] = "y1", "y2"
    model.graph.node.extend([again, helper.make_node("Add", ["y1", "y2"], ["y"])])
    onnx.save(model, str(path))


def make_input(graph: Path) -> dict[str, Array]:
    """The same numbers for every graph whose ``x`` has the same shape and type."""
    x = onnx.load(str(graph)).graph.input[0].type.tensor_type
    shape = [each.dim_value for each in x.shape.dim]
    random = np.random.default_rng(1)
    if x.elem_type == TensorProto.UINT8:
        return {"x": random.integers(0, 256, shape).astype(np.uint8)}
    return {"x": random.standard_normal(shape).astype(np.float32)}


class _Weights:
    def __init__(self, signed: bool, bits: int) -> None:
        self._random, self._signed, self._most = np.random.default_rng(0), signed, 127 if bits == 8 else 64

    def tensor(self, name: str, *shape: int) -> onnx.TensorProto:
        numbers = self._random.integers(-self._most, self._most + 1, shape)
        return numpy_helper.from_array(
            numbers.astype(np.int8) if self._signed else (numbers + 128).astype(np.uint8), name
        )

    def zero(self, *shape: int, name: str = "wz") -> onnx.TensorProto:
        return numpy_helper.from_array(
            np.zeros(shape, np.int8) if self._signed else np.full(shape, 128, np.uint8), name
        )


def _scales(*names: str, **values: float) -> list[onnx.TensorProto]:
    told = {**dict.fromkeys(names, 0.01), **values}
    return [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in told.items()]


def _zero_points(*names: str) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.array(128, np.uint8), name) for name in names]


_Made = tuple[list[onnx.NodeProto], list[onnx.TensorProto], tuple[int, list[int]], int]


def _product(weight: _Weights) -> _Made:
    node = helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])
    constants = [weight.tensor("w", WIDTH, WIDTH), weight.zero(), *_zero_points("xz")]
    return [node], constants, (TensorProto.UINT8, [4, WIDTH]), TensorProto.INT32


def _product_to_float(weight: _Weights) -> _Made:
    names = ["x", "w", "xs", "ws", "xz", "wz"]
    node = helper.make_node("MatMulIntegerToFloat", names, ["y"], domain=_MICROSOFT)
    constants = [weight.tensor("w", WIDTH, WIDTH), weight.zero(), *_scales("xs", "ws"), *_zero_points("xz")]
    return [node], constants, (TensorProto.UINT8, [4, WIDTH]), TensorProto.FLOAT


def _dynamic_product(weight: _Weights) -> _Made:
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "ws", "wz"], ["y"], domain=_MICROSOFT)
    constants = [weight.tensor("w", WIDTH, WIDTH), weight.zero(), *_scales("ws")]
    return [node], constants, (TensorProto.FLOAT, [4, WIDTH]), TensorProto.FLOAT


def _linear_product(weight: _Weights) -> _Made:
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    constants = [
        weight.tensor("w", WIDTH, WIDTH),
        weight.zero(),
        *_scales("xs", "ws", ys=0.3),
        *_zero_points("xz", "yz"),
    ]
    return [node], constants, (TensorProto.UINT8, [4, WIDTH]), TensorProto.UINT8


def _gemm(weight: _Weights) -> _Made:
    names = ["x", "xs", "xz", "w", "ws", "wz", "", "ys", "yz"]
    node = helper.make_node("QGemm", names, ["y"], domain=_MICROSOFT)
    constants = [
        weight.tensor("w", WIDTH, WIDTH),
        weight.zero(),
        *_scales("xs", "ws", ys=0.3),
        *_zero_points("xz", "yz"),
    ]
    return [node], constants, (TensorProto.UINT8, [4, WIDTH]), TensorProto.UINT8


def _convolution(weight: _Weights) -> _Made:
    node = helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], pads=[1, 1, 1, 1])
    kernel = weight.tensor("w", CHANNELS, CHANNELS, 3, 3)
    constants = [kernel, weight.zero(), *_scales("xs", "ws", ys=0.3), *_zero_points("xz", "yz")]
    return [node], constants, (TensorProto.UINT8, [1, CHANNELS, 8, 8]), TensorProto.UINT8


def _attention(weight: _Weights) -> _Made:
    names = ["x", "w", "b", "xs", "ws", "", "xz", "wz"]
    node = helper.make_node("QAttention", names, ["y"], domain=_MICROSOFT, num_heads=4)
    bias = numpy_helper.from_array(np.zeros(3 * WIDTH, np.float32), "b")
    constants = [
        weight.tensor("w", WIDTH, 3 * WIDTH),
        bias,
        weight.zero(),
        *_scales("ws", xs=0.001),
        *_zero_points("xz"),
    ]
    return [node], constants, (TensorProto.UINT8, [1, 4, WIDTH]), TensorProto.FLOAT


def _lstm(weight: _Weights) -> _Made:
    names = ["x", "w", "r", "", "", "", "", "", "ws", "wz", "ws", "rz"]
    node = helper.make_node("DynamicQuantizeLSTM", names, ["y"], domain=_MICROSOFT, hidden_size=HIDDEN)
    scale = numpy_helper.from_array(np.array([0.003], np.float32), "ws")
    constants = [
        weight.tensor("w", 1, WIDTH, 4 * HIDDEN),
        weight.tensor("r", 1, HIDDEN, 4 * HIDDEN),
        weight.zero(1),
        weight.zero(1, name="rz"),
        scale,
    ]
    return [node], constants, (TensorProto.FLOAT, [3, 1, WIDTH]), TensorProto.FLOAT


def write_published(path: Path, network: str, form: str) -> Path:
    """``network``: ``products`` or ``convolutions``, of six layers with activations and sums. ``form``: ``dynamic``, or of its
    activations and weights the signs, as ``u8s8``, in ONNX's QDQ form; ``bytes`` is that with an output of uint8."""
    plain = path.with_name("plain.onnx")
    shape = _write_network(plain, network)
    if form == "dynamic":
        with _Quiet():
            quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=True)
        return path
    signs = {"u": QuantType.QUInt8, "s": QuantType.QInt8}
    with _Quiet():
        quantize_static(
            plain,
            path,
            _Samples(shape),
            quant_format=QuantFormat.QDQ,
            per_channel=form != "u8u8",
            activation_type=signs["u" if form == "bytes" else form[0]],
            weight_type=signs["s" if form == "bytes" else form[2]],
        )
    if form == "bytes":
        _end_in_bytes(path)
    return path


def _write_network(path: Path, network: str) -> list[int]:
    random, nodes, weights, at = np.random.default_rng(3), list[onnx.NodeProto](), list[onnx.TensorProto](), "x"
    for n in range(6):
        if network == "products":
            sizes, node = [WIDTH, WIDTH], helper.make_node("MatMul", [at, f"w{n}"], [f"m{n}"])
        else:
            sizes = [CHANNELS, CHANNELS if n else 3, 3, 3]
            node = helper.make_node("Conv", [at, f"w{n}"], [f"m{n}"], pads=[1, 1, 1, 1])
        size = np.sqrt(np.prod(sizes[1:]))
        weights.append(numpy_helper.from_array((random.standard_normal(sizes) / size).astype(np.float32), f"w{n}"))
        nodes += [node, helper.make_node(("Relu", "LeakyRelu", "Sigmoid")[n % 3], [f"m{n}"], [f"r{n}"])]
        nodes += [helper.make_node("Add", [f"r{n}", at], [f"a{n}"])] if n else []
        at = f"a{n}" if n else f"r{n}"
    nodes.append(helper.make_node("Softmax" if network == "products" else "GlobalAveragePool", [at], ["y"]))
    shape = [1, WIDTH] if network == "products" else [1, 3, 16, 16]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, of) for name, of in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, network, values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=_OPSETS, ir_version=9), str(path))
    return shape


def _end_in_bytes(path: Path) -> None:
    """Drop the last DequantizeLinear: the graph gives what that would take."""
    model = onnx.load(str(path))
    last = next(node for node in model.graph.node if node.output[0] == "y")
    model.graph.node.remove(last)
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            node.output[at] = "y" if name == last.input[0] else name
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, str(path))


class _Samples:
    """Of what is calibrated by (ONNX Runtime's ``CalibrationDataReader``)."""

    def __init__(self, shape: list[int]) -> None:
        random = np.random.default_rng(0)
        self._left: Iterator[Mapping[str, Array]] = iter(
            [{"x": random.standard_normal(shape).astype(np.float32)} for _ in range(16)]
        )

    def get_next(self) -> Mapping[str, Array] | None:
        return next(self._left, None)


class _Quiet:
    """Without the quantizers' advice."""

    def __enter__(self) -> None:
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)


def write_product(path: Path, width: int, *, signed: bool) -> tuple[Path, Array]:
    """A MatMulInteger of [rows, width] by a square matrix, and that matrix as plain numbers; the zero point of ``x`` is 128."""
    weight = _Weights(signed, bits=8)
    matrix = weight.tensor("w", width, width)
    node = helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])
    values = [
        helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", width]),
        helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", width]),
    ]
    graph = helper.make_graph([node], "product", values[:1], values[1:], [matrix, weight.zero(), *_zero_points("xz")])
    onnx.save(helper.make_model(graph, opset_imports=_OPSETS, ir_version=9), str(path))
    return path, numpy_helper.to_array(matrix).astype(np.int64) - (0 if signed else 128)
