"""Graphs as exporters of many kinds write them, baked together: each answers as ONNX Runtime answers by the published file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from entrypoints.contract import BadRequest
from entrypoints.manifest.reader import read_manifest
from entrypoints.model.tensor_model import TensorModel
from prebake.documents.component import ComponentSettings, Precision
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder
from tests.support.bake.sessions import open_graph_of
from tests.support.models.odd_graphs import GOOD, write

NUMBERS = np.random.default_rng(11)
RATE, RATE_OF_PHONES = np.array(16_000), np.array(8_000)


def normal(*shape: int) -> np.ndarray:
    return NUMBERS.standard_normal(shape).astype(np.float32)


# Requests of other sizes than any that is made up.
ASKED: Mapping[str, list[dict[str, np.ndarray]]] = {
    "old": [{"x": normal(5, 4)}],
    "defaults": [{"x": normal(5, 4)}],
    "rankless": [{"x": normal(2, 3, 4, 2)}, {"x": normal(7)}, {"x": normal()}],
    "question": [{"x": normal(1, 3, 48, 192)}, {"x": normal(2, 3, 50, 50)}],
    "same_name": [{"a": normal(2, 5), "b": normal(2, 9)}],
    "detector": [{"images": normal(1, 3, 24, 40)}],
    "voice": [
        {"input": normal(1, 512), "state": normal(2, 1, 128), "sr": RATE},
        {"input": normal(1, 90), "state": normal(2, 1, 128), "sr": RATE_OF_PHONES},
    ],
    "indices": [{"x": np.zeros(9, np.int64)}],
    "gaps": [{"x": normal(5, 16)}],
    "constants": [{"x": normal(5, 64)}],
    "folding": [{"x": normal(1, 3, 9, 11)}],
    "through": [{"serving/in:0": normal(5, 4)}],
}  # fmt: skip


def settings(*names: str, keep_published: bool = False) -> StageSettings:
    return StageSettings(
        image="kinds",
        module="entrypoints.model.tensor_model",
        exporter="prebake.bake.stages.export_published",
        target="cpu",
        checkpoint="local",
        model_revision="0" * 64,
        components={name: ComponentSettings(Precision(), onnx=f"{name}.onnx") for name in names},
        keep_published=keep_published,
    )


class Opened:
    """The components of a baked folder, opened by the container's own code."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.manifest = read_manifest(models)

    def session(self, name: str) -> Any:
        return open_graph_of(self.models, self.manifest.components[name])

    def path(self, name: str) -> Path:
        return self.models / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    for name, model in GOOD.items():
        write(model(), folder / "checkpoint" / f"{name}.onnx")
    report = bake_folder("kinds", folder / "checkpoint", settings(*GOOD), folder / "models")
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> TensorModel:
    return TensorModel(Opened(folder / "models"))


def ask(model: TensorModel, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: each.tolist() if isinstance(each, np.ndarray) else each for key, each in inputs.items()}
    answer = model.generate({"component": name, "inputs": json.dumps(given)}, lambda: False)
    return dict(json.loads(answer.body)["outputs"])


@pytest.mark.parametrize("name", ASKED)
def test_it_answers_as_the_published_file(folder: Path, model: TensorModel, name: str) -> None:
    published = ort.InferenceSession(str(folder / "checkpoint" / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    outputs = [each.name for each in published.get_outputs()]
    for inputs in ASKED[name]:
        found = ask(model, name, inputs)
        for output, wanted in zip(outputs, published.run(None, inputs), strict=True):
            got = np.array(found[output], dtype=float)  # null is NaN
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, np.where(np.isfinite(wanted), wanted, np.nan), rtol=1e-4, atol=1e-4)


def test_text_comes_and_goes_as_text(model: TensorModel) -> None:
    assert ask(model, "text", {"x": ["Grüße AN Alle", "ΣΊΣΥΦΟΣ"]}) == {"y": ["grüße an alle", "σίσυφοσ"]}
    assert ask(model, "words", {"x": [0, 299, -1]}) == {"y": ["word 0", "word 299", "word 299"]}
    with pytest.raises(BadRequest, match="should be nested lists of text"):
        ask(model, "text", {"x": [1, 2]})


def test_the_warm_up_request_is_answered_as_the_published_file_answered_it(folder: Path, model: TensorModel) -> None:
    fields = json.loads((folder / "models/warmup/request.json").read_bytes())["fields"]
    wanted = json.loads((folder / "models/warmup/answer.json").read_bytes())["outputs"]
    found = json.loads(model.generate(fields, lambda: False).body)["outputs"]
    np.testing.assert_allclose(np.array(found["y"]), np.array(wanted["y"]), atol=1e-4)


def test_many_numbers_may_come_in_base64(model: TensorModel) -> None:
    from base64 import b64encode

    picture = normal(1, 3, 16, 16)
    data = {"shape": [1, 3, 16, 16], "data": b64encode(picture.astype("<f4").tobytes()).decode()}
    assert ask(model, "detector", {"images": data}) == ask(model, "detector", {"images": picture})
    for wrong, said in (
        ({"shape": [1, 3, 16, 17], "data": data["data"]}, "has 3072 bytes, float32"),
        ({"shape": [1, 3], "data": "§"}, "images"),
        ({"shape": "all", "data": ""}, "nested lists, or an object of shape"),
        ({"shape": [-1], "data": ""}, "a list of lengths"),
    ):
        with pytest.raises(BadRequest, match=said):
            ask(model, "detector", {"images": wrong})


def test_axes_have_the_names_that_onnx_runtime_proved(folder: Path) -> None:
    """`length` is two lengths, `batch` is one: the graph says so, whatever its names do."""
    takes = json.loads((folder / "models/tensors.json").read_bytes())
    assert takes["same_name"]["inputs"]["a"]["shape"] == ["batch", "length"]
    assert takes["same_name"]["inputs"]["b"]["shape"] == ["batch", "b.1"]
    assert takes["question"]["inputs"]["x"]["shape"] == ["x.0", 3, "x.2", "x.3"]
    assert takes["rankless"]["inputs"]["x"]["shape"] is None
    assert list(takes["old"]["inputs"]) == list(takes["defaults"]["inputs"]) == ["x"]


def test_unequal_rows_are_refused_by_the_name_that_holds(model: TensorModel) -> None:
    with pytest.raises(BadRequest, match=r"b: has the shape \[3, 9\]"):
        ask(model, "same_name", {"a": normal(2, 5), "b": normal(3, 9)})


def weights(models: Path, name: str) -> int:
    return sum(path.stat().st_size for path in (models / name).glob("*.safetensors"))


def test_weights_in_constants_lie_in_the_file_of_weights(folder: Path) -> None:
    models, report = folder / "models", json.loads((folder / "report.json").read_text())
    assert report["constants"]["published"]["constants"] == 2 * 64 * 64 * 4
    assert weights(models, "constants") > 2 * 64 * 64 * 4
    assert not (models / "constants/constants.constants.safetensors").exists()
    assert (models / "constants/model.onnx").stat().st_size < 4000
    assert report["voice"]["published"]["constants"] == 2 * 4 * 64 * 4  # within the branches


def test_weights_that_folding_replaced_are_left_out(folder: Path, tmp_path: Path) -> None:
    models, report = folder / "models", json.loads((folder / "report.json").read_text())
    size = 32 * 3 * 3 * 3 * 4
    assert report["folding"]["published"] == {"bytes": size, "constants": 0, "left_out": size}
    assert size < weights(models, "folding") < 1.5 * size
    write(GOOD["folding"](), tmp_path / "checkpoint/folding.onnx")
    kept = bake_folder("kinds", tmp_path / "checkpoint", settings("folding", keep_published=True), tmp_path / "models")
    assert kept["folding"]["published"]["left_out"] == 0
    assert weights(tmp_path / "models", "folding") > 2 * size  # for a target that reads them, and folded


def test_a_default_becomes_an_input_where_a_sample_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(GOOD["defaults"](), tmp_path / "checkpoint/defaults.onnx")
    own = tmp_path / "images" / "kinds"
    own.mkdir(parents=True)
    (own / "sample.json").write_text(json.dumps({"defaults": {"x": [[1, 2, 3, 4]], "scale": [2, 2, 2, 2]}}))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("images.__path__", [*__import__("images").__path__, str(tmp_path / "images")])
    bake_folder("kinds", tmp_path / "checkpoint", settings("defaults"), tmp_path / "models")
    model = TensorModel(Opened(tmp_path / "models"))
    assert ask(model, "defaults", {"x": [[1, 2, 3, 4]], "scale": [3, 3, 3, 3]}) == {"y": [[3, 6, 9, 12]]}
    with pytest.raises(BadRequest, match="scale is missing"):
        ask(model, "defaults", {"x": [[1, 2, 3, 4]]})
