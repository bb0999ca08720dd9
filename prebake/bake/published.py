"""The export of an image that brings no code: its published graphs as they are, and one real request to the first of them.

``images/<name>/sample.json`` (or ``.npz``, ``.npy``), if there is one, holds an input of each component by name
(``{"net": {"x": [[...]]}}``, ``prebake.bake.sample_file``); otherwise inputs are made up, of the first size that the graph takes.
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

from prebake.bake.arrays import Array
from prebake.bake.axes import settle_axes, unbound
from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.export import Bake
from prebake.bake.made_up import make_inputs
from prebake.bake.programs import open_program
from prebake.bake.published_file import examine
from prebake.bake.sample_file import LITERAL, fill_sample, read_samples
from prebake.bake.sampling import find_cases
from prebake.bake.signature import Signature, fit_inputs, infer_tensor

TENSORS = "tensors.json"
"""Under /models: what each component takes and gives, for ``entrypoints.tensors``."""
_SIZES = (2, 3)
Taken = tuple[Signature, Mapping[str, Array], Mapping[str, Array]]  # and the first case with its answer


def export(bake: Bake) -> None:
    """Every component of image.yaml that names a published graph; the answer to the request is that graph's own."""
    samples = read_samples(_folder(bake.settings.image), bake.settings.components)
    signatures, requests = {}, {}
    for name, component in bake.settings.components.items():
        take = _take_onnx if component.onnx else _take_torch
        signature, inputs, answer = take(bake, name, samples.get(name))
        signatures[name] = signature.document()
        requests[name] = (inputs, answer)
    bake.asset(TENSORS, canonical_json(signatures))
    first = next(iter(requests))
    inputs, answer = requests[first]
    fields = {"inputs": write_request(inputs)}
    fields |= {"component": first} if len(requests) > 1 else {}
    bake.reference(fields, write_outputs(answer), "application/json", bake.tolerances[first])


def _take_onnx(bake: Bake, name: str, sample: Mapping[str, Any] | None) -> Taken:
    path = bake.settings.components[name].onnx
    published = examine(name, bake.checkpoint / path).asking(sample or ())
    given = [_given(bake, name, unbound(published.signature), sample)] if sample is not None else []
    cases = find_cases(published, given)
    published = replace(published, signature=settle_axes(published, cases))
    return published.signature, cases[0], bake.graph_file(name, path, cases, published)[0]


def _take_torch(bake: Bake, name: str, sample: Any) -> Taken:
    component = bake.settings.components[name]
    program = open_program(name, bake.checkpoint / component.torch, component.inputs)
    takes = Signature(program.inputs, ())
    given = [_given(bake, name, takes, sample)] if sample is not None else []
    cases = _cases(takes, [*given, *([program.example] if program.example else [])], program.runs)
    if not _vary(takes, cases):
        raise BakeError(
            f"{name}: it has free axes, and runs on inputs of one size only: {_show(cases[0])}.",
            next_action="Give an input of another size in the image's sample.json.",
        )
    answers = bake.program(name, program, cases)
    gives = tuple(infer_tensor(each, [answer[each] for answer in answers]) for each in answers[0])
    return Signature(program.inputs, gives), cases[0], answers[0]


def _cases(
    signature: Signature, given: Sequence[Mapping[str, Array]], runs: Callable[[Mapping[str, Array]], bool]
) -> list[Mapping[str, Array]]:
    """What is given, and inputs made up of two sizes. A graph may take sizes of its own only, which its signature does not
    tell: where something is given, what it does not run on is left out."""
    made = [make_inputs(signature, size, seed=size) for size in _SIZES]
    return [*given, *(case for case in made if not given or runs(case))]


def _vary(signature: Signature, cases: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the cases show that free axes are free."""
    free = any(isinstance(axis, str) for each in signature.inputs for axis in each.axes)
    return not free or len({_show(case) for case in cases}) > 1


def _show(case: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())


def _given(bake: Bake, component: str, signature: Signature, sample: Mapping[str, Any]) -> Mapping[str, Array]:
    folder = _folder(bake.settings.image)
    return fit_inputs(component, signature, fill_sample(component, signature, sample, folder))


def write_request(inputs: Mapping[str, Array]) -> str:
    """As a client sends them: small inputs in nested lists, larger ones in base64."""
    return json.dumps({name: _written(array) for name, array in inputs.items()})


def write_outputs(outputs: Mapping[str, Array]) -> bytes:
    """As the server answers: what is no finite number is null."""
    return json.dumps({"outputs": {name: _plain(array.tolist()) for name, array in outputs.items()}}).encode()


def _written(array: Array) -> Any:
    if 0 < array.size <= LITERAL or array.dtype == object:
        return array.tolist()
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"shape": list(array.shape), "data": b64encode(data).decode()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _folder(image: str) -> Path:
    """The folder of the image's own files in this stage; one that is not there if it has none."""
    try:
        return Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
    except ModuleNotFoundError:
        return Path("no-such-folder")
