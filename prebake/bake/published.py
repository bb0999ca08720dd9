"""The export of an image that brings no code: its published graphs as they are, and one real request to the first of them.

``images/<name>/sample.json``, where there is one, holds an input of each component by name (``{"net": {"x": [[...]]}}``);
otherwise inputs are made up from the graph's signature.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxruntime import InferenceSession

from prebake.bake.arrays import Array
from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.export import Bake
from prebake.bake.graph_files import open_published
from prebake.bake.parity import tolerance_of
from prebake.bake.signature import fit_inputs, make_inputs, read_signature

TENSORS = "tensors.json"
"""Under /models: what each component takes and gives, for ``entrypoints.tensors``."""
SAMPLE = "sample.json"
_SIZES = (2, 3)


def export(bake: Bake) -> None:
    """Every component of image.yaml that names an ``onnx`` file; the answer to the request is the published graph's."""
    samples = _samples(bake.settings.image)
    signatures, requests = {}, {}
    for name, component in bake.settings.components.items():
        session = open_published(name, bake.checkpoint / component.onnx)
        signature = read_signature(name, session)
        cases = [make_inputs(signature, size, seed=size) for size in _SIZES]
        if name in samples:  # a graph may take sizes of its own only, which its signature does not tell
            cases = [fit_inputs(name, signature, samples[name]), *(case for case in cases if _runs(session, case))]
        outputs = bake.graph_file(name, component.onnx, cases)
        signatures[name] = signature.document()
        requests[name] = (cases[0], outputs[0])
    bake.asset(TENSORS, canonical_json(signatures))
    first = next(iter(requests))
    inputs, answer = requests[first]
    fields = {"inputs": json.dumps(_lists(inputs))}
    fields |= {"component": first} if len(requests) > 1 else {}
    bake.reference(fields, write_outputs(answer), "application/json", max(tolerance_of(answer).values()))


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


def _samples(image: str) -> Mapping[str, Any]:
    try:
        folder = Path(next(iter(importlib.import_module(f"images.{image}").__path__)))
        found = json.loads((folder / SAMPLE).read_bytes())
    except (ModuleNotFoundError, FileNotFoundError):
        return {}
    except ValueError as error:
        raise BakeError(f"images/{image}/{SAMPLE} is no JSON: {error}.", next_action="Correct it.") from error
    if not isinstance(found, dict):
        raise BakeError(f"images/{image}/{SAMPLE} is no object.", next_action="Give inputs by component and name.")
    return found
