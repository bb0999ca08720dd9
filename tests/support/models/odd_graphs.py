"""Small published graphs of one property each, as exporters of many kinds write them. Each function gives a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
value = helper.make_tensor_value_info
Values = Sequence[onnx.ValueInfoProto]


def weight(name: str, *shape: int, seed: int = 3) -> onnx.TensorProto:
    values = np.random.default_rng(seed).standard_normal(shape) * 0.2
    return numpy_helper.from_array(values.astype(np.float32), name)


def make(
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    held: Sequence[onnx.TensorProto] = (),
    *,
    ir_version: int = 9,
    opset: int = 17,
    **more: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(held))
    domains = more.pop("domains", ())
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, **more)


def old() -> onnx.ModelProto:
    """IR 3, whose initializers are inputs, too."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    inputs = [value("x", FLOAT, ["N", 4]), value("w", FLOAT, [4, 96]), value("b", FLOAT, [96])]
    held = [weight("w", 4, 96), weight("b", 96)]
    return make(nodes, inputs, [value("y", FLOAT, ["N", 96])], held, ir_version=3, opset=7)


def defaults() -> onnx.ModelProto:
    """IR 9, with a value for an input that requests may leave out."""
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"])]
    inputs = [value("x", FLOAT, ["N", 4]), value("scale", FLOAT, [4])]
    return make(nodes, inputs, [value("y", FLOAT, ["N", 4])], [weight("scale", 4)])


def rankless() -> onnx.ModelProto:
    return make([helper.make_node("Relu", ["x"], ["y"])], [value("x", FLOAT, None)], [value("y", FLOAT, None)])


def question() -> onnx.ModelProto:
    """Paddle2ONNX calls every free axis `?`; the least height that runs is 48, and the width is another."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["lines"], kernel_shape=[48, 1]),
        helper.make_node("Reshape", ["lines", "flat"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["y"], axes=[2], keepdims=0),
    ]
    flat = numpy_helper.from_array(np.array([0, 4, -1], np.int64), "flat")
    return make(
        nodes,
        [value("x", FLOAT, [None, 3, "?", "?"])],
        [value("y", FLOAT, ["?", "?"])],
        [weight("k", 4, 3, 48, 1), flat],
    )


def same_name() -> onnx.ModelProto:
    """Two inputs whose axes are called alike, and need not be of one length."""
    nodes = [
        helper.make_node("ReduceMean", ["a"], ["left"], axes=[1], keepdims=1),
        helper.make_node("ReduceMean", ["b"], ["right"], axes=[1], keepdims=1),
        helper.make_node("Add", ["left", "right"], ["y"]),
    ]
    inputs = [value("a", FLOAT, ["batch", "length"]), value("b", FLOAT, ["batch", "length"])]
    return make(nodes, inputs, [value("y", FLOAT, ["batch", 1])])


def detector() -> onnx.ModelProto:
    """Height and width are free, and multiples of 8."""
    half: dict[str, Any] = {"strides": [2, 2], "kernel_shape": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["images", "a"], ["p1"], **half),
        helper.make_node("Conv", ["p1", "b"], ["p2"], **half),
        helper.make_node("Conv", ["p2", "c"], ["p3"], **half),
        helper.make_node("Resize", ["p3", "", "scales"], ["up"], mode="nearest"),
        helper.make_node("Concat", ["up", "p2"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "d"], ["boxes"], kernel_shape=[1, 1]),
    ]
    held = [weight("a", 8, 3, 2, 2), weight("b", 8, 8, 2, 2, seed=4), weight("c", 8, 8, 2, 2, seed=5),
            weight("d", 5, 16, 1, 1), numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]  # fmt: skip
    inputs = [value("images", FLOAT, ["batch", 3, "height", "width"])]
    return make(nodes, inputs, [value("boxes", FLOAT, ["batch", 5, "h", "w"])], held)


def voice() -> onnx.ModelProto:
    """In the manner of silero: free samples of a least length, a state of one row, a sample rate, and weights in the branches."""

    def branch(name: str, seed: int) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Constant", [], [f"k{name}"], value=weight(f"c{name}", 4, 1, 64, seed=seed)),
            helper.make_node("Conv", ["channels", f"k{name}"], [f"f{name}"], kernel_shape=[64], strides=[32]),
            helper.make_node("ReduceMean", [f"f{name}"], [f"o{name}"], axes=[2], keepdims=0),
        ]
        return helper.make_graph(nodes, name, [], [value(f"o{name}", FLOAT, None)])

    nodes = [
        helper.make_node("Unsqueeze", ["input", "one"], ["channels"]),
        helper.make_node("Equal", ["sr", "rate"], ["wide"]),
        helper.make_node("If", ["wide"], ["spoken"], then_branch=branch("then", 5), else_branch=branch("else", 6)),
        helper.make_node("ReduceMean", ["state"], ["kept"], axes=[0], keepdims=0),
        helper.make_node("MatMul", ["kept", "w"], ["known"]),
        helper.make_node("Add", ["spoken", "known"], ["output"]),
    ]
    held = [weight("w", 128, 4), numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array(16_000, np.int64), "rate")]  # fmt: skip
    inputs = [value("input", FLOAT, [None, None]), value("state", FLOAT, [2, None, 128]), value("sr", INT64, [])]
    return make(nodes, inputs, [value("output", FLOAT, [None, 4])], held)


def indices() -> onnx.ModelProto:
    """Whole numbers that index a table of one row."""
    nodes = [helper.make_node("Gather", ["w", "x"], ["y"])]
    return make(nodes, [value("x", INT64, ["N"])], [value("y", FLOAT, ["N", 3])], [weight("w", 1, 3)])


def text() -> onnx.ModelProto:
    nodes = [
        helper.make_node(
            "StringNormalizer", ["x"], ["low"], case_change_action="LOWER", is_case_sensitive=1, locale="en_GB"
        ),
        helper.make_node("Identity", ["low"], ["y"]),
    ]
    return make(nodes, [value("x", STRING, ["N"])], [value("y", STRING, ["N"])])


def words() -> onnx.ModelProto:
    """A vocabulary as an initializer."""
    held = numpy_helper.from_array(np.array([f"word {n}" for n in range(300)], object), "words")
    nodes = [helper.make_node("Gather", ["words", "x"], ["y"])]
    return make(nodes, [value("x", INT64, ["N"])], [value("y", STRING, ["N"])], [held])


def gaps() -> onnx.ModelProto:
    """Infinities, and logarithms of negative numbers."""
    nodes = [helper.make_node("Log", ["x"], ["logs"]), helper.make_node("Div", ["one", "zeros"], ["infinite"]),
             helper.make_node("Sub", ["x", "x"], ["zeros"])]  # fmt: skip
    outputs = [value("logs", FLOAT, ["N", 16]), value("infinite", FLOAT, ["N", 16])]
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    return make([nodes[0], nodes[2], nodes[1]], [value("x", FLOAT, ["N", 16])], outputs, [one])


def constants() -> onnx.ModelProto:
    """All weights in Constant nodes, in a local function as well."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight("c", 64, 64)),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Second", ["m"], ["y"], domain="own"),
    ]
    second = helper.make_function(
        "own",
        "Second",
        ["a"],
        ["b"],
        [
            helper.make_node("Constant", [], ["v"], value=weight("d", 64, 64, seed=8)),
            helper.make_node("MatMul", ["a", "v"], ["b"]),
        ],
        [helper.make_opsetid("", 17)],
    )
    inputs, outputs = [value("x", FLOAT, ["batch", 64])], [value("y", FLOAT, ["batch", 64])]
    return make(nodes, inputs, outputs, functions=[second], domains=("own",))


def folding() -> onnx.ModelProto:
    """A convolution and a BatchNormalization, which optimization makes one of: its weights are new ones."""
    names = ["scale", "shift", "mean", "variance"]
    held = [weight("w", 32, 3, 3, 3)]
    held += [numpy_helper.from_array(np.abs(numpy_helper.to_array(weight("", 32, seed=n))) + 0.1, each)
             for n, each in enumerate(names)]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *names], ["y"]),
    ]
    return make(nodes, [value("x", FLOAT, [1, 3, "h", "w"])], [value("y", FLOAT, [1, 32, "h", "w"])], held)


def through() -> onnx.ModelProto:
    """An input that is an output as well, and names with slashes and colons."""
    nodes = [helper.make_node("Relu", ["serving/in:0"], ["serving.out/y:0"])]
    inputs = [value("serving/in:0", FLOAT, ["N", 4])]
    return make(nodes, inputs, [value("serving.out/y:0", FLOAT, ["N", 4]), value("serving/in:0", FLOAT, ["N", 4])])


GOOD: Mapping[str, Callable[[], onnx.ModelProto]] = {
    each.__name__: each
    for each in (
        old,
        defaults,
        rankless,
        question,
        same_name,
        detector,
        voice,
        indices,
        text,
        words,
        gaps,
        constants,
        folding,
        through,
    )
}
"""What has to bake as it is."""


def _plain(kind: int, name: str = "y") -> onnx.ValueInfoProto:
    return value(name, kind, ["N", 4])


def random(seeded: bool = False) -> onnx.ModelProto:
    more: dict[str, Any] = {"seed": 1.0} if seeded else {}
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["r"], name="noise", **more),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return make(nodes, [_plain(FLOAT, "x")], [_plain(FLOAT)])


def sequence() -> onnx.ModelProto:
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["y"])]
    return make(nodes, [_plain(FLOAT, "x")], [helper.make_tensor_sequence_value_info("y", FLOAT, None)])


def unknown() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MyOp", ["x"], ["m"], domain="acme.ops"),
        helper.make_node("Other", ["m"], ["y"], domain="acme.ops"),
    ]
    return make(nodes, [_plain(FLOAT, "x")], [_plain(FLOAT)], domains=("acme.ops",))


def newer() -> onnx.ModelProto:
    return make([helper.make_node("Relu", ["x"], ["y"])], [_plain(FLOAT, "x")], [_plain(FLOAT)], opset=99)


def brain() -> onnx.ModelProto:
    """bfloat16 on both sides."""
    kind = TensorProto.BFLOAT16
    return make([helper.make_node("Identity", ["x"], ["y"])], [_plain(kind, "x")], [_plain(kind)])


def sparse(*, constant: bool = False) -> onnx.ModelProto:
    """Weights of which the file tells only the numbers other than 0."""
    numbers, places = helper.make_tensor("w", FLOAT, [2], [1, 2]), helper.make_tensor("places", INT64, [2], [1, 6])
    held = helper.make_sparse_tensor(numbers, places, [4, 4])
    nodes = [helper.make_node("Constant", [], ["w"], sparse_value=held)] if constant else []
    model = make([*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])], [_plain(FLOAT, "x")], [_plain(FLOAT)])
    if not constant:
        model.graph.sparse_initializer.append(held)
    return model


def never() -> onnx.ModelProto:
    """It takes a width of 37 alone, which nobody guesses."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return make(nodes, [value("x", FLOAT, ["N", "width"])], [value("y", FLOAT, ["N", 3])], [weight("w", 37, 3)])


BAD: Mapping[str, Callable[[], onnx.ModelProto]] = {
    **{each.__name__: each for each in (random, sequence, unknown, newer, brain, sparse, never)},
    "seeded": lambda: random(seeded=True),
    "sparse_constant": lambda: sparse(constant=True),
}
"""What init refuses."""


def write(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def write_kind(path: Path, kind: str, **metadata: str) -> None:
    """One of these graphs by its name, with ``metadata`` as its publisher gives it."""
    model = {**GOOD, **BAD}[kind]()
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    write(model, path)
