"""The whole image baked from the sample: the graphs' answer is torch's, and so is the naive way's."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from images.foley import model, naive, sample
from images.foley.clip import make_clip
from images.foley.export import TOLERANCE
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.foley.networks import worst

COMPONENTS = ("clap", "siglip2", "synchformer", "transformer", "dac")
SHIPPED = ("siglip2/model.safetensors", "clap/model.safetensors", "clap/tokenizer.json")


class Session:
    """A graph of the baked folder."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))


class Baked:
    """The components of a baked folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = json.loads((folder / "manifest.json").read_bytes())
        self._sessions = {name: Session(folder / each["graph"]) for name, each in self._manifest["components"].items()}

    def session(self, name: str) -> Session:
        return self._sessions[name]

    def path(self, name: str) -> Path:
        return self._folder / name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    sample.write(folder, 1)
    return folder


@pytest.fixture(scope="module")
def models(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baked") / "models"
    settings = StageSettings(
        image="foley",
        module="images.foley.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={name: ComponentSettings() for name in COMPONENTS},
        ship=shipped(checkpoint, SHIPPED),
    )
    bake_folder("foley", checkpoint, settings, folder)
    return folder


def samples(wav: bytes) -> NDArray[np.float32]:
    """Of a WAV of 32-bit floats, whose chunk ``data`` is the last."""
    start = wav.index(b"data") + 8
    (length,) = struct.unpack("<I", wav[start - 4 : start])
    assert len(wav) == start + length
    return np.frombuffer(wav, "<f4", offset=start)


def serve(models: Path, fields: dict[str, Any]) -> NDArray[np.float32]:
    made = model.create(Baked(models))
    defaults = {field.name: field.default for field in made.fields if field.default is not None}
    return samples(made.generate(defaults | fields, lambda: False).body)


def test_the_warm_up_is_answered_as_by_torch(models: Path) -> None:
    fields = json.loads((models / "warmup/request.json").read_bytes())["fields"]
    video = (models / fields["video"]["file"]).read_bytes()
    expected = samples((models / "warmup/answer.wav").read_bytes())
    assert worst(serve(models, fields | {"video": video}), expected) < TOLERANCE / 10
    assert 0.1 < expected.std() < 0.6, "the sample's sound is silent or cut off"


@pytest.mark.parametrize(("frames", "guidance"), [(25, 4.5), (43, 1.0), (58, 2.0)])
def test_the_naive_way_gives_the_same_sound(models: Path, checkpoint: Path, frames: int, guidance: float) -> None:
    fields = {"video": make_clip(frames), "prompt": "rain on a metal roof, then a dog", "seed": 7}
    expected, media_type = naive.load(checkpoint).generate(
        fields | {"steps": "3", "guidance": str(guidance), "seed": "7"}
    )
    assert media_type == "audio/wav"
    assert worst(serve(models, fields | {"steps": 3, "guidance": guidance}), samples(expected)) < TOLERANCE / 10


def test_large_tensors_lie_in_published_and_derived_files(models: Path) -> None:
    """Only what no file holds as it is used, sums of position tables and parts of fused weights, lies apart."""
    apart = {path.parent.name: path.stat().st_size for path in models.rglob("constants.safetensors")}
    assert apart.keys() <= {"siglip2", "synchformer"}
    assert sum(apart.values()) < 2e6
    assert max(path.stat().st_size for path in models.rglob("model.onnx")) < 5e5


def test_the_derived_transformer_holds_what_is_read(models: Path) -> None:
    manifest = json.loads((models / "manifest.json").read_bytes())
    read = sum(
        length for _, length in manifest["components"]["transformer"]["byte_ranges"]["transformer/model.safetensors"]
    )
    assert read > 0.99 * (models / "transformer/model.safetensors").stat().st_size
