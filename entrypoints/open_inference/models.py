"""The models that an image offers by the protocol: its own, and each of their graphs as a model by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.contract import Field
from entrypoints.manifest.values import Manifest, OnnxComponent, TensorSpec
from entrypoints.open_inference.dtypes import BYTES, DATATYPES
from entrypoints.suggestion import suggest

VERSION = "1"
"""The only version of every model."""
TENSOR_MODEL = "entrypoints.model.tensor_model"
"""The module of an image without code of its own: the model is its first graph."""
MAX_NAME = 60
"""Characters of a client's name in a message."""


class UnknownModel(Exception):
    """No model has this name or this version. The text is an answer to the client."""


class ModelStarting(Exception):
    """A model whose manifest is not read yet may have this name. The text is an answer to the client."""


class Tensor(NamedTuple):
    """An input or output of a model. ``shape`` as in ``TensorSpec``: an axis is a length, or the name of a dynamic axis; None
    stands for a tensor of any rank."""

    datatype: str
    shape: tuple[int | str, ...] | None
    optional: bool = False


class ImageModel(NamedTuple):
    """A model of the image. ``manifest`` is None until it is read, and ``fields`` are known; ``name`` may be empty until then."""

    name: str
    manifest: Manifest | None
    fields: Sequence[Field] = ()


class OfferedModel(NamedTuple):
    """``name``: as the client knows it. ``owner``: the model of the image whose process answers. ``component``: the graph that
    answers, empty if the model's own code does."""

    name: str
    owner: str
    component: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @property
    def key(self) -> tuple[str, str]:
        """Equal for all names of one model."""
        return self.owner, self.component

    @property
    def takes_form(self) -> bool:
        """Whether the inputs are the fields of a form; otherwise they are those of a graph."""
        return not self.component


FORM_BODY, FORM_MEDIA_TYPE = "body", "media_type"
FORM_OUTPUTS: Mapping[str, Tensor] = {FORM_BODY: Tensor(BYTES, (1,)), FORM_MEDIA_TYPE: Tensor(BYTES, (1,))}
FIELD_DATATYPES = {"integer": "INT64", "number": "FP64"}
"""By kind of field; texts, choices and files are BYTES."""


class ModelDirectory:
    """The names that the image's models can be asked by: ``NAME``, ``NAME.COMPONENT`` for each graph, and ``COMPONENT`` unless
    another model has that name."""

    def __init__(self, models: Sequence[ImageModel]) -> None:
        self.listed: list[OfferedModel] = []
        """Each model once, by the name that it always has."""
        self._offered: dict[str, OfferedModel] = {}
        self._starting = [model.name for model in models if model.manifest is None]
        for model in models:
            if model.manifest is not None:
                self._add(model.name, model.manifest, model.fields)
        if not self._starting:  # until then nobody knows which names are unambiguous
            self._add_short_names()

    def find(self, name: str, version: str = "") -> OfferedModel:
        """Raises UnknownModel or ModelStarting."""
        model = self._offered.get(name)
        if model is None:
            if self._starting:
                loading = ", ".join(filter(None, self._starting))
                raise ModelStarting(
                    f"{f'{loading}: ' if loading else ''}the model is loading; its names are not known yet."
                )
            shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
            graphs = [each for each, model in self._offered.items() if model.component == name]
            hint = f" (there are {' and '.join(graphs)})" if graphs else suggest(shown, list(self._offered))
            raise UnknownModel(f"Request for unknown model: '{shown}' is not found{hint}.")
        if version not in ("", VERSION):
            shown = f"'{name}' version {version[:MAX_NAME]}"
            raise UnknownModel(f"Request for unknown model: {shown} is not found; its only version is {VERSION}.")
        return model

    def _add(self, name: str, manifest: Manifest, fields: Sequence[Field]) -> None:
        graphs = [
            each for each in manifest.components.values() if isinstance(each, OnnxComponent) and has_datatypes(each)
        ]
        models = {graph.name: offer_graph(f"{name}.{graph.name}", name, graph) for graph in graphs}
        first = next(iter(models), "")
        if manifest.module == TENSOR_MODEL and first:
            own = models[first]._replace(name=name)
        else:
            own = OfferedModel(name, name, "", describe_fields(fields), FORM_OUTPUTS)
        self.listed += [own, *(model for model in models.values() if model.key != own.key)]
        self._offered |= {name: own, **{model.name: model for model in models.values()}}

    def _add_short_names(self) -> None:
        graphs = [model for name, model in self._offered.items() if name == f"{model.owner}.{model.component}"]
        counts = Counter(model.component for model in graphs)
        for model in graphs:
            if counts[model.component] == 1:
                self._offered.setdefault(model.component, model._replace(name=model.component))


def has_datatypes(graph: OnnxComponent) -> bool:
    """Whether the protocol has a datatype for each tensor of the graph."""
    return all(spec.dtype in DATATYPES for spec in (*graph.inputs.values(), *graph.outputs.values()))


def offer_graph(name: str, owner: str, graph: OnnxComponent) -> OfferedModel:
    return OfferedModel(name, owner, graph.name, describe_tensors(graph.inputs), describe_tensors(graph.outputs))


def describe_tensors(specs: Mapping[str, TensorSpec]) -> dict[str, Tensor]:
    return {name: Tensor(DATATYPES[spec.dtype], spec.shape) for name, spec in specs.items()}


def describe_fields(fields: Sequence[Field]) -> dict[str, Tensor]:
    """The fields of a form as inputs of one element each."""
    return {
        field.name: Tensor(FIELD_DATATYPES.get(field.kind, BYTES), (1,), optional=not field.required)
        for field in fields
    }
