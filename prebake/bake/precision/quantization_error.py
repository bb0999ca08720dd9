"""Measures how much quantization rounding can change the outputs of a published graph that quantizes activations.

The output of such a graph is a step function of its inputs. ONNX Runtime runs it with integer kernels after optimization, and in
floating point as published. Both are correct, but a value near the edge of a quantization step may round to either side. So the
graph runs again with every activation shifted by about a quarter of its step, up and down. The change bounds the rounding effect.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from prebake.bake.graphs.published_session import open_published
from prebake.bake.weights.numpy_arrays import Array

_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_QUARTER = 0.25
_SHARE_OF_LARGEST = 1 / 1024
"""Shift of a dynamically quantized activation, relative to its largest magnitude. Its step is 1/255 of its range, and the
range is one or two times that magnitude."""
Inputs = Mapping[str, Array]


def run_shifted(graph: Path, cases: Sequence[Inputs]) -> list[dict[str, Array]]:
    """The outputs of all cases with activations shifted up, then of all with activations shifted down. Empty if the graph
    quantizes no activations.

    graph: a published file. The shifted graphs are written next to it, where its external data are.
    """
    outputs = []
    for sign in (1, -1):
        model = onnx.load(str(graph), load_external_data=False)
        if not _shift(model, sign):
            return []
        path = graph.with_name(f".shifted{sign}.onnx")
        onnx.save_model(model, str(path))
        try:
            outputs += _run(open_published(graph.name, path), cases)
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            print(f"{graph.name}: the effect of quantization steps could not be measured: {error}", file=sys.stderr)
            return []
        finally:
            path.unlink()
    return outputs


def _run(session: ort.InferenceSession, cases: Sequence[Inputs]) -> list[dict[str, Array]]:
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(case)), strict=True)) for case in cases]


def _shift(model: onnx.ModelProto, sign: int) -> bool:
    """Add a shift before each node of the main graph that quantizes an activation. Returns whether there is any."""
    initializers = {initializer.name: initializer for initializer in model.graph.initializer}
    nodes = list(_with_shifts(model.graph.node, initializers, sign))
    changed = len(nodes) > len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return changed


def _with_shifts(
    nodes: Sequence[onnx.NodeProto], initializers: Mapping[str, onnx.TensorProto], sign: int
) -> Iterator[onnx.NodeProto]:
    constants = {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"}
    for number, node in enumerate(nodes):
        source, name = node.input[0] if node.input else "", f".shift{number}"
        scale = {**constants, **initializers}.get(node.input[1]) if node.op_type == "QuantizeLinear" else None
        if scale is not None and source not in initializers and not scale.external_data:
            step = numpy_helper.to_array(scale)
            if step.size == 1:
                yield _constant(f"{name}.by", (step.reshape(()) * sign * _QUARTER).astype(step.dtype))
                yield helper.make_node("Add", [source, f"{name}.by"], [name])
                node.input[0] = name
        elif node.op_type in _DYNAMIC and source not in initializers:
            yield helper.make_node("Abs", [source], [f"{name}.size"])
            yield helper.make_node("ReduceMax", [f"{name}.size"], [f"{name}.largest"], keepdims=0)
            yield _constant(f"{name}.part", np.array(sign * _SHARE_OF_LARGEST, np.float32))
            yield helper.make_node("Mul", [f"{name}.largest", f"{name}.part"], [f"{name}.by"])
            yield helper.make_node("Add", [source, f"{name}.by"], [name])
            node.input[0] = name
        yield node


def _constant(name: str, value: Array) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
