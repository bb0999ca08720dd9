"""What builder and server give an image's code, over plain folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entrypoints.components.opener import Opener
from entrypoints.contract import Answer, Cancellation
from entrypoints.forms.fields import convert_form
from entrypoints.forms.form import Form
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from images.zimage.model import ZImage
from prebake.bake.graphs.sessions import open_session
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import shipped


class Graph:
    """An opened graph."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path, SessionSettings(), ["CPUExecutionProvider"])
        self.names = [each.name for each in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.names, self._session.run(self.names, dict(inputs)), strict=True))


class Baked:
    """A baked folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._graphs: dict[str, Graph] = {}

    def session(self, name: str) -> Graph:
        if name not in self._graphs:
            self._graphs[name] = Graph(self._folder / name / "model.onnx")
        return self._graphs[name]

    def path(self, name: str) -> Path:
        return self._folder / name


def settings_for(checkpoint: Path) -> StageSettings:
    """What the plan would tell the stages: tokenizer and transformer are shipped as published."""
    weights = (str(path.relative_to(checkpoint)) for path in checkpoint.glob("transformer/*.safetensors"))
    return StageSettings(
        image="zimage",
        module="images.zimage.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={name: ComponentSettings() for name in ("text_encoder", "transformer", "vae")},
        ship=shipped(checkpoint, ["tokenizer/tokenizer.json", *weights]),
    )


def torch_settings(checkpoint: Path, precision: str) -> StageSettings:
    """What the plan would tell the stages where torch serves: configurations and weights are shipped as published."""
    names = ("text_encoder", "transformer", "vae")
    paths = (path for name in names for path in checkpoint.glob(f"{name}/*") if not path.name.endswith("index.json"))
    return replace(
        settings_for(checkpoint),
        runtime="torch",
        networks="images.zimage.model_torch",
        components={
            name: ComponentSettings(precision=Precision(precision, derived=False), providers=()) for name in names
        },
        ship=shipped(checkpoint, ["tokenizer/tokenizer.json", *(str(path.relative_to(checkpoint)) for path in paths)]),
    )


def open_baked(models: Path) -> Opener:
    """A baked folder's components, opened as the server opens them."""
    opener = Opener(models, read_manifest(models), Timeline(), None)
    opener.start(2)
    return opener


def ask(served: ZImage, cancelled: Cancellation = lambda: False, /, **parts: object) -> Answer:
    """The answer to a web form, converted as the server does it."""
    return served.generate(convert_form(served.fields, Form(parts)), cancelled)


def numbers(array: Any) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)
