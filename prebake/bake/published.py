"""The export of an image that brings no code: its published graphs as they are, and one real request to the first of them.

``images/<name>/sample.json``, where there is one, holds an input of each component by name (``{"net": {"x": [[...]]}}``);
otherwise inputs are made up from the graph's signature.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime import InferenceSession

from prebake.bake.arrays import Array
from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.export import Bake
from prebake.bake.graph_files import open_published
from prebake.bake.programs import open_program
from prebake.bake.signature import Signature, fit_inputs, infer_tensor, make_inputs, read_signature

TENSORS = "tensors.json"
"""Under /models: what each component takes and gives, for ``entrypoints.tensors``."""
SAMPLE = "sample.json"
_SIZES = (2, 3)
Taken = tuple[Signature, Mapping[str, Array], Mapping[str, Array]]  # and the first case with its answer


def export(bake: Bake) -> None:
    """Every component of image.yaml that names a published graph; the answer to the request is that graph's own."""
    samples = _samples(bake.settings.image, bake.settings.components)
    signatures, requests = {}, {}
    for name, component in bake.settings.components.items():
        take = _take_onnx if component.onnx else _take_torch
        signature, inputs, answer = take(bake, name, samples.get(name))
        signatures[name] = signature.document()
        requests[name] = (inputs, answer)
    bake.asset(TENSORS, canonical_json(signatures))
    first = next(iter(requests))
    inputs, answer = requests[first]
    fields = {"inputs": json.dumps(_lists(inputs))}
    fields |= {"component": first} if len(requests) > 1 else {}
    bake.reference(fields, write_outputs(answer), "application/json", bake.tolerances[first])


def _take_onnx(bake: Bake, name: str, sample: Any) -> Taken:
    path = bake.settings.components[name].onnx
    session = open_published(name, bake.checkpoint / path)
    signature = read_signature(name, session)
    given = [fit_inputs(name, signature, sample)] if sample is not None else []
    cases = _cases(signature, given, lambda case: _runs(session, case))
    return signature, cases[0], bake.graph_file(name, path, cases)[0]


def _take_torch(bake: Bake, name: str, sample: Any) -> Taken:
    component = bake.settings.components[name]
    program = open_program(name, bake.checkpoint / component.torch, component.inputs)
    takes = Signature(program.inputs, ())
    given = [fit_inputs(name, takes, sample)] if sample is not None else []
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
    free = any(isinstance(axis, str) for each in signature.inputs for axis in each.shape)
    return not free or len({_show(case) for case in cases}) > 1


def _show(case: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())


def _runs(session: InferenceSession, case: Mapping[str, Array]) -> bool:
    try:
        session.run(None, dict(case))
    except Exception:  # ONNX Runtime's exceptions share no base class but this
        return False
    return True


def write_outputs(outputs: Mapping[str, Array]) -> bytes:
    """As the server answers."""
    return json.dumps({"outputs": _lists(outputs)}).encode()


def _lists(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: array.tolist() for name, array in arrays.items()}


def _samples(image: str, components: Collection[str]) -> Mapping[str, Any]:
    try:
        folder = Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
        found = json.loads((folder / SAMPLE).read_bytes())
    except (ModuleNotFoundError, FileNotFoundError):
        return {}
    except ValueError as error:
        raise BakeError(f"images/{image}/{SAMPLE} is no JSON: {error}.", next_action="Correct it.") from error
    if not isinstance(found, dict):
        raise BakeError(f"images/{image}/{SAMPLE} is no object.", next_action="Give inputs by component and name.")
    if unknown := sorted(found.keys() - set(components)):
        raise BakeError(
            f"images/{image}/{SAMPLE} names {', '.join(unknown)}: image.yaml has no such component.",
            next_action=f"Give inputs by component: {', '.join(components)}.",
        )
    return found
