"""Finds what keeps a published ONNX file from being served, from the file alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from prebake.bake.graphs import onnx_files
from prebake.bake.published.operators import find_unsupported_operators, walk_nodes
from prebake.bake.weights.dtypes import NAME_BY_ONNX
from prebake.errors import Problem

_SERVED_DTYPES = {name.upper() for name in NAME_BY_ONNX}
_VALUE_KINDS = {
    "sequence_type": "a sequence",
    "map_type": "a map",
    "optional_type": "optional",
    "sparse_tensor_type": "a sparse tensor",
}


def find_file_problems(path: Path, model: onnx.ModelProto) -> Iterator[Problem]:
    """Missing external data, unsupported operators and opsets, repeated names and sparse weights."""
    yield from _find_missing_files(path)
    yield from find_unsupported_operators(model)
    yield from _find_repeated_names(model)
    yield from _find_sparse_weights(model)


def find_type_problems(model: onnx.ModelProto) -> Iterator[Problem]:
    """Inputs and outputs whose type a JSON request or answer cannot hold."""
    initializers = {initializer.name for initializer in model.graph.initializer}
    zipmaps = {name for node in walk_nodes(model) if node.op_type == "ZipMap" for name in node.output}
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            if kind == "input" and value.name in initializers:
                continue
            if value.name in zipmaps:
                yield Problem(
                    f"the output '{value.name}'",
                    "is a list of maps from ZipMap",
                    "convert with options={'zipmap': False}, which gives a tensor",
                )
            elif (unsupported := _describe_unsupported(value.type)) is not None:
                fault = f"is {unsupported}, which a request or an answer cannot hold"
                yield Problem(f"the {kind} '{value.name}'", fault)


def _find_missing_files(path: Path) -> Iterator[Problem]:
    for name in onnx_files.find_external_files(path):
        if not (path.parent / name).is_file():
            yield Problem(f"{path.name}: {name}", "is missing: the graph keeps tensors in it", "fetch it, too")


def _find_repeated_names(model: onnx.ModelProto) -> Iterator[Problem]:
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for name, count in Counter(value.name for value in values).items():
            if count > 1:
                yield Problem(name, f"is the name of {count} {kind}s", "give each a unique name")


def _find_sparse_weights(model: onnx.ModelProto) -> Iterator[Problem]:
    names = [initializer.values.name for initializer in model.graph.sparse_initializer]
    for node in walk_nodes(model):
        if any(attribute.name == "sparse_value" for attribute in node.attribute):
            names.append(node.output[0])
        for attribute in node.attribute:
            names += [initializer.values.name for initializer in attribute.g.sparse_initializer]
    for name in names:
        yield Problem(
            f"the weights '{name}'", "are a sparse tensor, which is not supported", "save them as a dense one"
        )


def _describe_unsupported(kind: Any) -> str | None:
    """The type, unless it is a tensor of numbers or text, or unknown."""
    which = kind.WhichOneof("value")
    if which in (None, "tensor_type"):
        name = onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type)
        return None if name in _SERVED_DTYPES or name == "UNDEFINED" else f"a tensor of {name.lower()}"
    return _VALUE_KINDS.get(which, re.sub("_type$", "", which))
