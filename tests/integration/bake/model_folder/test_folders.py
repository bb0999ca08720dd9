"""Several graphs over the weights of one folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from prebake.bake.graphs.sessions import open_session
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder


@pytest.fixture(scope="module")
def twin(checkpoint: Path, settings: StageSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / "models"
    components = {name: ComponentSettings(folder="words") for name in ("up", "down")}
    bake_folder("twin", checkpoint, replace(settings, image="twin", components=components), folder)
    return folder


def test_each_graph_lies_beside_the_weights_under_its_own_name(twin: Path) -> None:
    assert sorted(path.name for path in (twin / "words").iterdir()) == [
        "down.constants.safetensors",
        "down.onnx",
        "model.safetensors",
        "up.constants.safetensors",
        "up.onnx",
    ]
    manifest: dict[str, Any] = json.loads((twin / "manifest.json").read_bytes())
    assert {name: each["graph"] for name, each in manifest["components"].items()} == {
        "down": "words/down.onnx",
        "up": "words/up.onnx",
    }
    assert manifest["files"]["words/model.safetensors"]["origin"] == "published"


@pytest.mark.parametrize("name", ["up", "down"])
def test_both_read_the_published_file_and_constants_of_their_own(twin: Path, name: str) -> None:
    """That they answer as torch does, the compile stage has checked."""
    graph = onnx.load(str(twin / f"words/{name}.onnx"), load_external_data=False).graph
    places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
    assert places == {"model.safetensors", f"{name}.constants.safetensors"}
    session = open_session(twin / f"words/{name}.onnx", SessionSettings(), ["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.zeros((3, 32 if name == "up" else 48), np.float32)})
    assert answer.shape == (3, 32)
