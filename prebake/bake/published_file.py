"""A published ONNX file, looked into before anything is made of it: what it takes and gives, and all that speaks against it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from entrypoints.shapes import Axes
from prebake.bake import graph_files
from prebake.bake.errors import BakeError, GraphRefused
from prebake.bake.operators import find_random, find_unknown, nodes_of
from prebake.bake.rank_hints import hint_axes
from prebake.bake.signature import Signature, read_signature, read_tensors
from prebake.errors import Problem

_LOCALE = "C.UTF-8"
"""The locale that Debian's base system has, and so does the image."""


@dataclass(frozen=True)
class Published:
    """An ONNX file opened as its publisher meant it. ``defaults``: inputs that the file has a value for. ``metadata``: what its
    publisher says of it, by key. ``random``: nodes that draw numbers."""

    component: str
    session: ort.InferenceSession
    signature: Signature
    defaults: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    random: tuple[str, ...] = ()
    locale: str = ""
    """The locale that its text is normalised in, if it is not the file's own."""
    hints: Mapping[str, Axes] = field(default_factory=dict)
    """Axes of inputs of any rank, as far as the weights that they meet tell them."""

    @property
    def hinted(self) -> Signature:
        """The signature to make inputs up by: with the hints in the place of shapes that the file does not say."""
        inputs = (
            replace(each, shape=self.hints.get(each.name)) if each.shape is None else each
            for each in self.signature.inputs
        )
        return replace(self.signature, inputs=tuple(inputs))

    def asking(self, names: Iterable[str]) -> Published:
        """With those inputs too that the file has a value for and that are named, as a sample names what requests are to give."""
        wanted = [each for each in self.session.get_overridable_initializers() if each.name in set(names)]
        more = tuple(read_tensors(self.component, wanted))
        return (
            replace(self, signature=replace(self.signature, inputs=(*self.signature.inputs, *more))) if more else self
        )


def examine(component: str, path: Path) -> Published:
    """Open a published file. Raises GraphRefused with every problem: what is no ONNX, files that are missing, operators and
    opsets that this ONNX Runtime lacks, inputs and outputs that JSON cannot tell."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own class, whichever of its implementations is installed
        raise _refuse(
            component,
            path,
            [Problem(path.name, f"ONNX Runtime does not open {path.name}: it is no whole ONNX file ({error})")],
        ) from error
    problems = [*_missing_files(path), *find_unknown(model), *_repeated(model), *_sparse(model)]
    types = [*_untold(model)]
    try:
        session, locale = _open(component, path, model)
    except BakeError as error:
        told = problems or [Problem(path.name, error.message.partition(": ")[2])]
        raise _refuse(component, path, [*told, *types]) from error
    if problems or types:
        raise _refuse(component, path, [*problems, *types])
    given, rankless = {each.name for each in session.get_inputs()}, _rankless(model)
    held = {each.name for each in model.graph.initializer}
    return Published(
        component,
        session,
        read_signature(component, session, rankless),
        tuple(each.name for each in model.graph.input if each.name in held - given),
        dict(session.get_modelmeta().custom_metadata_map),
        tuple(find_random(model)),
        locale,
        hint_axes(model, rankless & given),
    )


def _refuse(component: str, path: Path, problems: list[Problem]) -> GraphRefused:
    text = "\n".join([f"{component}: {path.name} cannot be served:",
                      *(f"  {each}" for each in problems)])  # fmt: skip
    return GraphRefused(
        text,
        next_action="Export the model again without what is named, or give the image an export.py and a model.py "
        "(docs/adding-a-model.md).",
    )


def _open(component: str, path: Path, model: onnx.ModelProto) -> tuple[ort.InferenceSession, str]:
    """The session, and the locale of its text if that had to be another: a base system has no other locale than the plain one,
    whose upper and lower case are the same as of every other of UTF-8."""
    try:
        return graph_files.open_published(component, path), ""
    except BakeError:
        if not set_locale(model, _LOCALE) or graph_files.external_files(path):
            raise
        return graph_files.open_published(component, path, model.SerializeToString()), _LOCALE


def set_locale(model: onnx.ModelProto, locale: str) -> bool:
    """Have every StringNormalizer work in ``locale``; whether there is one."""
    found = [node for node in nodes_of(model) if node.op_type == "StringNormalizer"]
    for node in found:
        kept = [each for each in node.attribute if each.name != "locale"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("locale", locale)])
    return bool(found)


def _missing_files(path: Path) -> Iterator[Problem]:
    for name in graph_files.external_files(path):
        if not (path.parent / name).is_file():
            yield Problem(f"{path.name}: {name}", "is missing: the graph keeps tensors in it", "fetch it, too")


def _repeated(model: onnx.ModelProto) -> Iterator[Problem]:
    """Names are how inputs and outputs are told apart."""
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for name, count in Counter(each.name for each in values).items():
            if count > 1:
                yield Problem(name, f"is the name of {count} {kind}s", "give each a name of its own")


def _sparse(model: onnx.ModelProto) -> Iterator[Problem]:
    """Weights of which the file tells only the numbers other than 0."""
    names = [each.values.name for each in model.graph.sparse_initializer]
    for node in nodes_of(model):
        if any(each.name == "sparse_value" for each in node.attribute):
            names.append(node.output[0])
        for attribute in node.attribute:
            names += [each.values.name for each in attribute.g.sparse_initializer]
    for name in names:
        yield Problem(f"the weights '{name}'", "are a sparse tensor, which is not baked", "save them as a dense one")


def _untold(model: onnx.ModelProto) -> Iterator[Problem]:
    held = {each.name for each in model.graph.initializer}
    zipped = {name for node in nodes_of(model) if node.op_type == "ZipMap" for name in node.output}
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            if kind == "input" and value.name in held:
                continue
            if value.name in zipped:
                yield Problem(
                    f"the output '{value.name}'",
                    "is a list of maps, which ZipMap makes",
                    "convert with options={'zipmap': False}, which gives a tensor",
                )
            elif (what := _what(value.type)) is not None:
                yield Problem(f"the {kind} '{value.name}'", f"is {what}, which a request or an answer cannot hold")


_TENSORS = {"FLOAT", "DOUBLE", "FLOAT16", "BOOL", "STRING"} | {
    f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


def _what(kind: Any) -> str | None:
    """What is no tensor of text or plain numbers; None for what is, and where the file does not say."""
    which = kind.WhichOneof("value")
    if which in (None, "tensor_type"):
        name = onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type)
        return None if name in _TENSORS or name == "UNDEFINED" else f"a tensor of {name.lower()}"
    return {
        "sequence_type": "a sequence",
        "map_type": "a map",
        "optional_type": "optional",
        "sparse_tensor_type": "a sparse tensor",
    }.get(which, re.sub("_type$", "", which))


def _rankless(model: onnx.ModelProto) -> frozenset[str]:
    """Inputs and outputs of which the file says no shape; ONNX Runtime describes them as scalars."""
    values = (*model.graph.input, *model.graph.output)
    return frozenset(
        each.name
        for each in values
        if each.type.WhichOneof("value") != "tensor_type" or not each.type.tensor_type.HasField("shape")
    )
