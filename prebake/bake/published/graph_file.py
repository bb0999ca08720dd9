"""A published ONNX file, opened and checked before anything is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
import onnxruntime as ort

from entrypoints.manifest.shape_buckets import Axes
from prebake.bake.errors import BakeError, GraphRefused
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.published_session import open_published
from prebake.bake.importers.signature import Signature, read_signature, read_tensors
from prebake.bake.published.graph_checks import find_file_problems, find_type_problems
from prebake.bake.published.operators import find_random_nodes, walk_nodes
from prebake.bake.published.shape_hints import infer_axes
from prebake.errors import Problem

_LOCALE = "C.UTF-8"
"""The only locale of Debian's base system, and so of the image."""


@dataclass(frozen=True)
class PublishedGraph:
    """An ONNX file, opened without optimization."""

    component: str
    session: ort.InferenceSession
    signature: Signature
    defaults: tuple[str, ...] = ()
    """Inputs that have a default value in the file."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The publisher's metadata."""
    random_nodes: tuple[str, ...] = ()
    """Nodes that generate random numbers."""
    locale: str = ""
    """The locale of its StringNormalizer nodes, if it had to be replaced."""
    hints: Mapping[str, Axes] = field(default_factory=dict)
    """Axes of inputs of unknown rank, inferred from weights."""

    @property
    def hinted_signature(self) -> Signature:
        """The signature for generating inputs: shapes that the file does not define are replaced by the hints."""
        inputs = (
            replace(tensor, shape=self.hints.get(tensor.name)) if tensor.shape is None else tensor
            for tensor in self.signature.inputs
        )
        return replace(self.signature, inputs=tuple(inputs))

    def with_inputs(self, names: Iterable[str]) -> PublishedGraph:
        """The graph with those of ``names`` as inputs, too, that have a default value in the file: a sample that contains one
        makes it part of requests."""
        requested = set(names)
        initializers = [value for value in self.session.get_overridable_initializers() if value.name in requested]
        added = tuple(read_tensors(self.component, initializers))
        if not added:
            return self
        return replace(self, signature=replace(self.signature, inputs=(*self.signature.inputs, *added)))


def inspect_graph(component: str, path: Path) -> PublishedGraph:
    """Open a published file.

    Raises GraphRefused that lists every problem: an invalid file, missing external data, operators and opsets that ONNX Runtime
    does not support, inputs and outputs that JSON cannot represent.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's exception class depends on its implementation
        fault = f"ONNX Runtime cannot open {path.name}: it is not a complete ONNX file ({error})"
        raise _refuse(component, path, [Problem(path.name, fault)]) from error
    problems, type_problems = [*find_file_problems(path, model)], [*find_type_problems(model)]
    try:
        session, locale = _open(component, path, model)
    except BakeError as error:
        causes = problems or [Problem(path.name, error.message.partition(": ")[2])]
        raise _refuse(component, path, [*causes, *type_problems]) from error
    if problems or type_problems:
        raise _refuse(component, path, [*problems, *type_problems])
    inputs, rankless = {value.name for value in session.get_inputs()}, _find_rankless(model)
    initializers = {initializer.name for initializer in model.graph.initializer}
    return PublishedGraph(
        component=component,
        session=session,
        signature=read_signature(component, session, rankless),
        defaults=tuple(value.name for value in model.graph.input if value.name in initializers - inputs),
        metadata=dict(session.get_modelmeta().custom_metadata_map),
        random_nodes=tuple(find_random_nodes(model)),
        locale=locale,
        hints=infer_axes(model, rankless & inputs),
    )


def _refuse(component: str, path: Path, problems: list[Problem]) -> GraphRefused:
    return GraphRefused(
        "\n".join([f"{component}: {path.name} cannot be served:", *(f"  {problem}" for problem in problems)]),
        next_action="export the model again without the problems listed, or write export.py and model.py for the image "
        "(docs/adding-a-model.md)",
    )


def _open(component: str, path: Path, model: onnx.ModelProto) -> tuple[ort.InferenceSession, str]:
    """The session, and the locale that replaced the file's, if the image does not have that one. Case conversion is the same in
    every UTF-8 locale."""
    try:
        return open_published(component, path), ""
    except BakeError:
        if not set_locale(model, _LOCALE) or onnx_files.find_external_files(path):
            raise
        return open_published(component, path, model.SerializeToString()), _LOCALE


def set_locale(model: onnx.ModelProto, locale: str) -> bool:
    """Set the locale of every StringNormalizer. Returns whether there is one."""
    normalizers = [node for node in walk_nodes(model) if node.op_type == "StringNormalizer"]
    for node in normalizers:
        others = [attribute for attribute in node.attribute if attribute.name != "locale"]
        del node.attribute[:]
        node.attribute.extend([*others, onnx.helper.make_attribute("locale", locale)])
    return bool(normalizers)


def _find_rankless(model: onnx.ModelProto) -> frozenset[str]:
    """Inputs and outputs without a shape in the file. ONNX Runtime reports them as scalars."""
    values = (*model.graph.input, *model.graph.output)
    return frozenset(
        value.name
        for value in values
        if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape")
    )
