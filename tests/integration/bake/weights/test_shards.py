"""Weights in files of a bounded size: nothing is lost, graphs point into the parts, and answers stay the framework's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from safetensors.torch import load_file

from prebake.bake.weights.shards import write_shards
from prebake.bake.weights.torch_tensors import from_torch
from prebake.documents.canonical import digest_file
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder

LIMIT = 8 << 10


@pytest.fixture(scope="module")
def parts(checkpoint: Path, settings: StageSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baked as if both weight files were too large; the parity check of the compile stage has passed."""
    folder = tmp_path_factory.mktemp("parts") / "models"
    bake_folder("tiny", checkpoint, replace(settings, ship=(), reshard=settings.ship), folder, LIMIT)
    return folder


def test_few_bytes_stay_in_one_file(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, "model", from_torch({"a": torch.ones(4)}), 16)
    assert path.name == "model.safetensors"


def test_a_tensor_above_the_limit_has_its_own_file(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2), "b": torch.ones(9), "c": torch.ones(2), "d": torch.ones(2)}
    *files, index = write_shards(tmp_path, "model", from_torch(tensors), 16)
    assert [sorted(load_file(file)) for file in files] == [["a"], ["b"], ["c", "d"]]
    assert [file.name for file in files] == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert json.loads(index.read_bytes()) == {
        "metadata": {"total_size": 60},
        "weight_map": {
            name: f"model-0000{n}-of-00003.safetensors" for name, n in zip("abcd", (1, 2, 3, 3), strict=True)
        },
    }


def test_the_parts_hold_every_tensor_of_a_published_file(parts: Path, checkpoint: Path) -> None:
    whole = load_file(checkpoint / "words/model.safetensors")
    files = sorted((parts / "words").glob("model-*.safetensors"))
    assert len(files) > 2
    assert not (parts / "words/model.safetensors").exists()
    found: dict[str, torch.Tensor] = {}
    for file in files:
        tensors = load_file(file)
        assert len(tensors) == 1 or sum(each.nbytes for each in tensors.values()) <= LIMIT
        assert not found.keys() & tensors.keys()
        found |= tensors
    assert found.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(found[name], tensor), name


def test_graphs_point_into_the_parts_and_the_manifest_names_them(parts: Path) -> None:
    graph = onnx.load(str(parts / "words/model.onnx"), load_external_data=False).graph
    places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"} - {
        "constants.safetensors"
    }
    assert len(places) > 1
    assert all((parts / "words" / name).is_file() for name in places)
    manifest: dict[str, Any] = json.loads((parts / "manifest.json").read_bytes())
    for path, entry in manifest["files"].items():
        assert entry["sha256"] == digest_file(parts / path)
    assert {manifest["files"][f"words/{name}"]["origin"] for name in places} == {"derived"}
