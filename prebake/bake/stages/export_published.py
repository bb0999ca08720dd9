"""The export of an image without code of its own: its published graphs, and a warm-up request to the first of them.

``images/<name>/sample.json`` (or ``.npz``, ``.npy``), if there is one, has inputs of each component by name
(``{"net": {"x": [[...]]}}``, ``prebake.bake.published.sample_file``). All other inputs are generated, in the first size that
the graph accepts.
"""

from __future__ import annotations

import importlib
import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prebake.bake.authoring.bake import Bake
from prebake.bake.errors import BakeError
from prebake.bake.importers.signature import Signature, fit_inputs, infer_tensor
from prebake.bake.importers.torch_program import open_program
from prebake.bake.published.axis_names import separate_axes, verify_axis_names
from prebake.bake.published.generated_inputs import generate_uniform_inputs
from prebake.bake.published.graph_file import inspect_graph
from prebake.bake.published.input_search import find_cases
from prebake.bake.published.sample_file import MAX_LITERAL_ELEMENTS, fill_sample, read_samples
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.canonical import canonical_json

TENSORS = "tensors.json"
"""The file under /models with the inputs and outputs of each component, for ``entrypoints.model.tensor_model``."""
_SIZES = (2, 3)
ExportedGraph = tuple[Signature, Mapping[str, Array], Mapping[str, Array]]
"""A component's signature, and the inputs and outputs of its first case."""


def export(bake: Bake) -> None:
    """Export every component of image.yaml; each has a published graph. The reference answer of the warm-up request is the first
    graph's."""
    samples = read_samples(_folder(bake.settings.image), bake.settings.components)
    signatures, requests = {}, {}
    for name, component in bake.settings.components.items():
        export_component = _export_onnx if component.onnx else _export_torch
        signature, inputs, answer = export_component(bake, name, samples.get(name))
        signatures[name] = signature.to_dict()
        requests[name] = (inputs, answer)
    bake.asset(TENSORS, canonical_json(signatures))
    first = next(iter(requests))
    inputs, answer = requests[first]
    fields = {"inputs": write_request(inputs)}
    fields |= {"component": first} if len(requests) > 1 else {}
    bake.reference(fields, write_outputs(answer), "application/json", bake.tolerances[first])


def _export_onnx(bake: Bake, name: str, sample: Mapping[str, Any] | None) -> ExportedGraph:
    path = bake.settings.components[name].onnx
    published = inspect_graph(name, bake.checkpoint / path).with_inputs(sample or ())
    given = [_sample_inputs(bake, name, separate_axes(published.signature), sample)] if sample is not None else []
    cases = find_cases(published, given)
    published = replace(published, signature=verify_axis_names(published, cases))
    return published.signature, cases[0], bake.graph_file(name, path, cases, published)[0]


def _export_torch(bake: Bake, name: str, sample: Any) -> ExportedGraph:
    component = bake.settings.components[name]
    program = open_program(name, bake.checkpoint / component.torch, component.inputs)
    signature = Signature(program.inputs, ())
    given = [_sample_inputs(bake, name, signature, sample)] if sample is not None else []
    cases = _make_cases(signature, [*given, *([program.example] if program.example else [])], program.accepts)
    if not _vary(signature, cases):
        raise BakeError(
            f"{name}: the graph has free axes, but runs on inputs of one size only: {_show(cases[0])}.",
            next_action="put an input of another size into the image's sample.json",
        )
    answers = bake.program(name, program, cases)
    outputs = tuple(infer_tensor(output, [answer[output] for answer in answers]) for output in answers[0])
    return Signature(program.inputs, outputs), cases[0], answers[0]


def _make_cases(
    signature: Signature, given: Sequence[Mapping[str, Array]], runs: Callable[[Mapping[str, Array]], bool]
) -> list[Mapping[str, Array]]:
    """The given cases, and generated ones of two sizes. A graph may accept fewer sizes than its signature says: if there are
    given cases, generated ones on which it does not run are left out."""
    generated = [generate_uniform_inputs(signature, size, seed=size) for size in _SIZES]
    return [*given, *(case for case in generated if not given or runs(case))]


def _vary(signature: Signature, cases: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the cases have different lengths of free axes, if there are any."""
    free = any(isinstance(axis, str) for tensor in signature.inputs for axis in tensor.axes)
    return not free or len({_show(case) for case in cases}) > 1


def _show(case: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())


def _sample_inputs(bake: Bake, component: str, signature: Signature, sample: Mapping[str, Any]) -> Mapping[str, Array]:
    folder = _folder(bake.settings.image)
    return fit_inputs(component, signature, fill_sample(component, signature, sample, folder))


def write_request(inputs: Mapping[str, Array]) -> str:
    """The inputs as JSON of a request: small arrays as nested lists, larger ones in base64."""
    return json.dumps({name: _encode(array) for name, array in inputs.items()})


def write_outputs(outputs: Mapping[str, Array]) -> bytes:
    """The outputs as the server's JSON answer. A number that is not finite is null."""
    return json.dumps(
        {"outputs": {name: _replace_not_finite(array.tolist()) for name, array in outputs.items()}}
    ).encode()


def _encode(array: Array) -> Any:
    if 0 < array.size <= MAX_LITERAL_ELEMENTS or array.dtype == object:
        return array.tolist()
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"shape": list(array.shape), "data": b64encode(data).decode()}


def _replace_not_finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_not_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _folder(image: str) -> Path:
    """The folder of the image's own files in this stage. It does not exist if the image has none."""
    try:
        return Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
    except ModuleNotFoundError:
        return Path("no-such-folder")
