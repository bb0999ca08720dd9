"""The image's own served code, run in the export stage with torch in ONNX Runtime's place, against the framework.

A warm-up request is small, since every start runs it. This comparison is made once, and may be long: with the framework's
tokens, the graph against torch, and this, each step between a request and its answer was compared with the framework.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from entrypoints.contract import Components, Model
from prebake.bake.errors import ParityFailed
from prebake.bake.export import Bake
from prebake.errors import Problem

Array = np.ndarray[Any, Any]
Framework = Callable[[Mapping[str, object]], tuple[bytes, str]]
"""Body and media type of the framework's answer to a form."""


@dataclass(frozen=True)
class TorchSession:
    """A component's module in the place of its graph. ``outputs`` are named as in the graph."""

    module: torch.nn.Module
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answer = self.module(
                **{name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in inputs.items()}
            )
        tensors = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
        return {name: each.cpu().numpy() for name, each in zip(self.outputs, tensors, strict=True)}


@dataclass(frozen=True)
class Rehearsal:
    """What the image holds for its model while it is baked: assets, published files, and modules of torch by component."""

    bake: Bake
    sessions: Mapping[str, TorchSession]

    def session(self, name: str) -> TorchSession:
        return self.sessions[name]

    def path(self, name: str) -> Path:
        return self.bake.path(name)


def rehearse(
    bake: Bake,
    create: Callable[[Components], Model],
    sessions: Mapping[str, TorchSession],
    framework: Framework,
    forms: Sequence[Mapping[str, object]],
    tolerance: float = 1e-4,
) -> None:
    """Compare the served model's answers with the framework's.

    create: that of the image's ``model.py``. forms: requests by field; left out are those with a default.
    tolerance: the largest difference of two numbers, relative to the largest number of the answer if that is above 1.
    Raises ParityFailed with every request whose answers differ.
    """
    model = create(Rehearsal(bake, sessions))
    defaults = {field.name: field.default for field in model.fields if field.default is not None}
    problems = []
    for form in forms:
        body, media_type = framework(form)
        answer = model.generate({**defaults, **form}, lambda: False)
        if answer.media_type != media_type:
            problems.append(
                Problem(_describe(form), f"the framework answers {media_type}, the image {answer.media_type}")
            )
        elif media_type != "application/json":
            problems += [] if answer.body == body else [Problem(_describe(form), "the answers differ")]
        else:
            wanted = json.loads(body)
            bound = tolerance * max([1.0, *map(abs, _numbers(wanted))])
            problems += [
                Problem(_describe(form), each) for each in _differences(json.loads(answer.body), wanted, bound)
            ]
    if problems:
        raise ParityFailed(
            "The image's answers are not the framework's:",
            problems[:20],
            next_action="Correct the image's model.py and export.py, or refuse what they cannot do.",
        )


def _numbers(document: Any) -> Iterator[float]:
    if isinstance(document, (dict, list)):
        for each in document.values() if isinstance(document, dict) else document:
            yield from _numbers(each)
    elif isinstance(document, (int, float)):
        yield float(document)


def _differences(got: Any, wanted: Any, bound: float, place: str = "") -> Iterator[str]:
    """The first difference of each list, with its place in the document."""
    if isinstance(wanted, dict) and isinstance(got, dict) and got.keys() == wanted.keys():
        for name in wanted:
            yield from _differences(got[name], wanted[name], bound, f"{place}.{name}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(got) == len(wanted):
        found = (
            _differences(*pair, bound, f"{place}[{index}]") for index, pair in enumerate(zip(got, wanted, strict=True))
        )
        each_first = (each for differences in found if (each := next(differences, None)))
        yield from each_first if any(isinstance(each, (dict, list)) for each in wanted) else [*each_first][:1]
    elif isinstance(wanted, float) and isinstance(got, (int, float)):
        if not abs(got - wanted) <= bound:
            yield f"{place} is {got:.6g}, by the framework {wanted:.6g}"
    elif got != wanted:
        yield f"{place} is {json.dumps(got)[:60]}, by the framework {json.dumps(wanted)[:60]}"


def _describe(form: Mapping[str, object]) -> str:
    values = (f"{name}={value[:40]!r}" for name, value in form.items() if isinstance(value, (str, bytes)))
    return ", ".join(values) or "the request"
