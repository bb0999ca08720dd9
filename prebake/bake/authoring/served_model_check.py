"""Compares the answers of the image's served code (``model.py``) with the framework's, during the export.

torch modules replace the ONNX sessions. This check runs once, so it may use many requests; the warm-up request must be small,
since every start runs it. The graphs are compared with torch separately.
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
from prebake.bake.authoring.bake import Bake
from prebake.bake.errors import ParityFailed
from prebake.bake.parity.json_differences import find_differences
from prebake.errors import Problem

Array = np.ndarray[Any, Any]
Form = Mapping[str, object]
RunFramework = Callable[[Form], tuple[bytes, str]]
"""Returns body and media type of the framework's answer to a form."""
_MAX_REPORTED = 20


@dataclass(frozen=True)
class TorchSession:
    """A torch module with the interface of a component's session. ``outputs`` are the output names of its graph."""

    module: torch.nn.Module
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()}
            result = self.module(**tensors)
        outputs = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        return {name: output.cpu().numpy() for name, output in zip(self.outputs, outputs, strict=True)}


@dataclass(frozen=True)
class TorchComponents:
    """``entrypoints.contract.Components`` during the export: torch sessions, and the files of the image."""

    bake: Bake
    sessions: Mapping[str, TorchSession]

    def session(self, name: str) -> TorchSession:
        return self.sessions[name]

    def path(self, name: str) -> Path:
        return self.bake.path(name)


def compare_served_model(
    bake: Bake,
    create: Callable[[Components], Model],
    sessions: Mapping[str, TorchSession],
    framework: RunFramework,
    forms: Sequence[Form],
    tolerance: float = 1e-4,
) -> None:
    """Compare the served model's answers with the framework's.

    create: the function of the image's ``model.py``.
    forms: requests, as values by field name. Fields with a default may be left out.
    tolerance: the largest difference of two numbers, relative to the largest number of the answer, or to 1 if that is smaller.
    Raises ParityFailed that lists the requests whose answers differ.
    """
    model = create(TorchComponents(bake, sessions))
    problems = [problem for form in forms for problem in _compare(model, framework, form, tolerance)]
    if problems:
        raise ParityFailed(
            "The served model's answers differ from the framework's:",
            problems[:_MAX_REPORTED],
            next_action="correct the image's model.py or export.py, or make model.py refuse requests that it cannot serve",
        )


def _compare(model: Model, framework: RunFramework, form: Form, tolerance: float) -> Iterator[Problem]:
    body, media_type = framework(form)
    defaults = {field.name: field.default for field in model.fields if field.default is not None}
    answer = model.generate({**defaults, **form}, lambda: False)
    if answer.media_type != media_type:
        yield Problem(_describe(form), f"the image answers {answer.media_type}, the framework {media_type}")
    elif media_type == "application/json":
        for difference in find_differences(json.loads(answer.body), json.loads(body), tolerance):
            yield Problem(_describe(form), difference)
    elif answer.body != body:
        yield Problem(_describe(form), "the answers differ")


def _describe(form: Form) -> str:
    values = (f"{name}={value[:40]!r}" for name, value in form.items() if isinstance(value, (str, bytes)))
    return ", ".join(values) or "the request"
