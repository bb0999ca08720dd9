"""An image that brings no code: a published ONNX file, baked and served by its tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file, save_file

from entrypoints.contract import BadRequest
from entrypoints.model.tensor_model import TensorModel
from prebake.bake.errors import BakeError
from prebake.bake.graphs.sessions import open_session
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.models.distance import ROUNDING, relative
from tests.support.models.graphs import WIDTH, write_graph

FP32 = Precision()


def settings(*names: str, precision: Precision = FP32) -> StageSettings:
    return StageSettings(
        image="plain",
        module="entrypoints.model.tensor_model",
        exporter="prebake.bake.stages.export_published",
        target="cpu",
        checkpoint="local",
        model_revision="0" * 64,
        components={name: ComponentSettings(precision, onnx=f"{name}/model.onnx") for name in names},
    )


Baked = Callable[..., Path]


@pytest.fixture(scope="module")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Baked:
    def make(*names: str, external: bool = False) -> Path:
        folder = tmp_path_factory.mktemp("published")
        for seed, name in enumerate(names, start=3):
            write_graph(folder / "checkpoint" / name / "model.onnx", external=external, seed=seed)
        bake_folder("plain", folder / "checkpoint", settings(*names), folder / "models")
        return folder / "models"

    return make


class OpenFolder:
    """A baked folder's components."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.manifest: dict[str, Any] = json.loads((models / "manifest.json").read_bytes())

    def session(self, name: str) -> Any:
        graph = self.manifest["components"][name]["graph"]
        session = open_session(self.models / graph, SessionSettings(), ["CPUExecutionProvider"])

        class Named:
            def run(self, inputs: Any) -> dict[str, Any]:
                names = [each.name for each in session.get_outputs()]
                return dict(zip(names, session.run(names, dict(inputs)), strict=True))

        return Named()

    def path(self, name: str) -> Path:
        assert name in self.manifest["files"]
        return self.models / name


@pytest.fixture(scope="module")
def models(bake: Baked) -> Path:
    return bake("net")


@pytest.fixture(scope="module")
def model(models: Path) -> TensorModel:
    return TensorModel(OpenFolder(models))


def ask(model: TensorModel, inputs: object, **form: str) -> Any:
    text = inputs if isinstance(inputs, str) else json.dumps(inputs)
    return json.loads(model.generate({"inputs": text, **form}, lambda: False).body)


@pytest.mark.parametrize("external", [False, True])
def test_the_weights_become_safetensors_and_each_content_is_there_once(bake: Baked, external: bool) -> None:
    models = bake("net", external=external)
    held = load_file(models / "net/net.safetensors")
    assert {tuple(each.shape) for each in held.values()} == {(16, WIDTH), (WIDTH, 8)}
    graph = onnx.load(str(models / "net/model.onnx"), load_external_data=False).graph
    places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
    assert places == {"net.safetensors"}
    assert (models / "net/model.onnx").stat().st_size < 4000


def test_it_answers_as_the_published_file(model: TensorModel, models: Path) -> None:
    published = ort.InferenceSession(str(write_graph(models.parent / "again/model.onnx")))
    ids = np.arange(20).reshape(5, 4) % 16
    scale = np.linspace(-1, 2, 5, dtype=np.float32).reshape(5, 1, 1)
    (wanted,) = published.run(None, {"ids": ids, "scale": scale})
    found = ask(model, {"ids": ids.tolist(), "scale": scale.tolist()})["outputs"]["scores"]
    assert relative(found, wanted) < ROUNDING


def test_the_warm_up_request_is_one_that_the_server_answers_so(model: TensorModel, models: Path) -> None:
    request = json.loads((models / "warmup/request.json").read_bytes())
    answer = json.loads((models / "warmup/answer.json").read_bytes())
    found = json.loads(model.generate(request["fields"], lambda: False).body)
    assert relative(found["outputs"]["scores"], answer["outputs"]["scores"]) < ROUNDING


def test_everything_that_is_wrong_with_the_inputs_is_said_at_once(model: TensorModel) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(model, {"ids": [[0.5, 1, 2, 3]], "scal": 1})
    text = str(caught.value)
    assert "ids: should be whole numbers" in text
    assert 'did you mean "scale"' in text
    assert "scale is missing" in text


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{", "not JSON"),
        ([1], "should be an object"),
        ({"ids": [[0, 1, 2]], "scale": [[[1.0]]]}, "has the shape [1, 3], should have ['rows', 4]"),
        ({"ids": [[0, 1, 2, 3]], "scale": [[[1.0]], [[1.0]]]}, "has the shape"),
        ({"ids": [[0, 1, 2, 3], [1]], "scale": [[[1.0]]]}, "ids"),
        ({"ids": [["a", "b", "c", "d"]], "scale": [[[1.0]]]}, "nested lists of numbers"),
        ({"ids": [[0, 1, 2, 10**30]], "scale": [[[1.0]]]}, "ids"),
        ({"ids": [[0, 1, 2, 99]], "scale": [[[1.0]]]}, "the graph refuses these inputs"),
    ],
)
def test_inputs_that_do_not_fit_are_the_clients_fault(model: TensorModel, inputs: object, said: str) -> None:
    with pytest.raises(BadRequest, match=said.replace("[", r"\[").replace("]", r"\]")):
        ask(model, inputs)


def test_several_graphs_are_chosen_by_name(bake: Baked) -> None:
    folder = OpenFolder(bake("net", "other"))
    model = TensorModel(folder)
    (_, which) = model.fields
    assert which.choices == ("net", "other")
    ids, scale = np.array([[0, 1, 2, 3]]), np.ones((1, 1, 1), np.float32)
    for name, form in (("net", {}), ("net", {"component": "net"}), ("other", {"component": "other"})):
        published = ort.InferenceSession(str(folder.models.parent / "checkpoint" / name / "model.onnx"))
        (wanted,) = published.run(None, {"ids": ids, "scale": scale})
        found = ask(model, {"ids": ids.tolist(), "scale": scale.tolist()}, **form)["outputs"]["scores"]
        assert relative(found, wanted) < ROUNDING


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/model.onnx").write_bytes(b"no graph")
    with pytest.raises(BakeError, match=r"ONNX Runtime cannot open model\.onnx"):
        bake_folder("plain", tmp_path, settings("net"), tmp_path / "models")


@pytest.mark.parametrize(
    ("said", "quantized"),
    [
        (Precision("int8", 0.05), {"Gather": 2, "MatMul": 1}),
        (Precision("int4", 0.2, block_size=16), {"Gather": 2, "MatMul": 1}),
        (Precision("fp16", 0.002), {}),
    ],
    ids=lambda each: each.type if isinstance(each, Precision) else "",
)
def test_a_published_graph_has_weights_of_another_precision(
    tmp_path: Path, said: Precision, quantized: dict[str, int]
) -> None:
    write_graph(tmp_path / "checkpoint/net/model.onnx")
    report = bake_folder("plain", tmp_path / "checkpoint", settings("net", precision=said), tmp_path / "models")["net"]
    assert report["weights"]["quantized"] == quantized
    assert report["weights"]["bytes_after"] < 0.6 * report["weights"]["bytes_before"]
    assert [path.name for path in (tmp_path / "models/net").glob("*.safetensors")] == [f"net.{said.type}.safetensors"]
    assert 0 < report["outputs"]["scores"]["relative_error"] <= said.max_relative_error


def test_a_graph_without_weights_cannot_be_quantized(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint/net/model.onnx"
    path.parent.mkdir(parents=True)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["x"], ["y"])],
        "none",
        [value("x", onnx.TensorProto.FLOAT, ["n"])],
        [value("y", onnx.TensorProto.FLOAT, ["n"])],
    )
    onnx.save_model(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), str(path)
    )
    for kind in ("int8", "int4"):
        with pytest.raises(BakeError, match=f"nothing to quantize to {kind}"):
            bake_folder(
                "plain", tmp_path / "checkpoint", settings("net", precision=Precision(kind, 0.1)), tmp_path / kind
            )
    with pytest.raises(BakeError, match="no weight of the graph can be stored in fp16"):
        bake_folder(
            "plain", tmp_path / "checkpoint", settings("net", precision=Precision("fp16", 0.1)), tmp_path / "half"
        )


def test_what_is_made_takes_no_shipped_files_place(tmp_path: Path) -> None:
    write_graph(tmp_path / "checkpoint" / "net" / "model.onnx")
    save_file({"x": np.zeros((4, 4), np.float32)}, tmp_path / "checkpoint" / "net" / "net.safetensors")
    named = replace(settings("net"), ship=shipped(tmp_path / "checkpoint", ["net/net.safetensors"]))
    with pytest.raises(BakeError, match=r"net/net\.safetensors exists already"):
        bake_folder("plain", tmp_path / "checkpoint", named, tmp_path / "models")
