"""How far a rounding step moves the outputs of a published graph that quantises its activations as it runs.

Such a graph is a staircase. ONNX Runtime computes it by integer kernels after optimisation, and by floats as published: both are
right, and a number that lies near the edge of a step may come out on either side. So the graph is asked again with every
activation shifted by about a quarter of its step, up and down. What that changes is what rounding may change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from prebake.bake.arrays import Array
from prebake.bake.graph_files import open_published

_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_QUARTER = 0.25
_OF_LARGEST = 1 / 1024
"""Of an activation's largest number: its step is a 255th of its range, which is one or two times that number."""
Inputs = Mapping[str, Array]


def answer_moved(graph: Path, cases: Sequence[Inputs]) -> list[dict[str, Array]]:
    """The answers to all cases with activations shifted up, then to all with them shifted down; none if nothing is quantised.

    graph: a published file; the shifted graphs are written beside it, since it may keep weights there.
    """
    answers = []
    for sign in (1, -1):
        model = onnx.load(str(graph), load_external_data=False)
        if not _shift(model, sign):
            return []
        path = graph.with_name(f".shifted{sign}.onnx")
        onnx.save_model(model, str(path))
        try:
            answers += _answers(open_published(graph.name, path), cases)
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            print(f"{graph.name}: how far its quantisation steps move it was not measured: {error}", file=sys.stderr)
            return []
        finally:
            path.unlink()
    return answers


def _answers(session: ort.InferenceSession, cases: Sequence[Inputs]) -> list[dict[str, Array]]:
    names = [each.name for each in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(case)), strict=True)) for case in cases]


def _shift(model: onnx.ModelProto, sign: int) -> bool:
    """Have every activation of the main graph shifted before it is quantised. False if none is."""
    known = {each.name: each for each in model.graph.initializer}
    nodes = list(_shifted(model.graph.node, known, sign))
    changed = len(nodes) > len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return changed


def _shifted(
    nodes: Sequence[onnx.NodeProto], known: Mapping[str, onnx.TensorProto], sign: int
) -> Iterator[onnx.NodeProto]:
    constants = {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"}
    for number, node in enumerate(nodes):
        source, name = node.input[0] if node.input else "", f".shift{number}"
        scale = {**constants, **known}.get(node.input[1]) if node.op_type == "QuantizeLinear" else None
        if scale is not None and source not in known and not scale.external_data:
            step = numpy_helper.to_array(scale)
            if step.size == 1:
                yield _constant(f"{name}.by", (step.reshape(()) * sign * _QUARTER).astype(step.dtype))
                yield helper.make_node("Add", [source, f"{name}.by"], [name])
                node.input[0] = name
        elif node.op_type in _DYNAMIC and source not in known:
            yield helper.make_node("Abs", [source], [f"{name}.size"])
            yield helper.make_node("ReduceMax", [f"{name}.size"], [f"{name}.largest"], keepdims=0)
            yield _constant(f"{name}.part", np.array(sign * _OF_LARGEST, np.float32))
            yield helper.make_node("Mul", [f"{name}.largest", f"{name}.part"], [f"{name}.by"])
            yield helper.make_node("Add", [source, f"{name}.by"], [name])
            node.input[0] = name
        yield node


def _constant(name: str, value: Array) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
