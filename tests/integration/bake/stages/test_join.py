"""Several models' folders made one: files at their places, identical ones once, and graphs that still compute the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from entrypoints.runtime.session_options import WEIGHTS_FOLDER
from prebake.bake.stages.join import join_image
from prebake.documents.canonical import digest_file
from prebake.documents.join_settings import JoinSettings
from prebake.errors import SettingsInvalid
from tests.support.container.baking import VALUES, answer, bake, replace_file, write_manifest
from tests.support.manifests import make_artifact

OWN = {"linear": "linear", "total": "total"}
WEIGHTS = "linear/model.bin"


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Two models of one architecture, each in its folder."""
    for name in ("left", "right"):
        bake(tmp_path / "alone" / name)
    return tmp_path / "alone"


def join(alone: Path, **places: dict[str, str]) -> tuple[Path, dict[str, Any]]:
    out = alone.parent / "joined"
    shutil.rmtree(out, ignore_errors=True)
    join_image(JoinSettings("pair", "cpu", places), alone, out)
    return out / "models", json.loads((out / "models" / "manifest.json").read_bytes())


def manifest_of(models: Path, top: dict[str, Any], name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((models / top["models"][name]["manifest"]).read_bytes())
    return document


def test_the_top_manifest_lists_every_file_as_it_is_and_no_other(alone: Path) -> None:
    models, top = join(alone, left=OWN, right={name: f"right.{name}" for name in OWN})
    found = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    assert top["files"].keys() == found - {"manifest.json"}
    for path, entry in top["files"].items():
        assert (entry["sha256"], entry["size"]) == (digest_file(models / path), (models / path).stat().st_size)
    assert (top["name"], top["target"], list(top["models"])) == ("pair", "cpu", ["left", "right"])


def test_identical_files_of_a_folder_that_both_have_are_there_once(alone: Path) -> None:
    models, top = join(alone, left=OWN, right=OWN)
    assert sorted(path.name for path in (models / "linear").iterdir()) == ["bias.txt", "model.bin", "model.onnx"]
    left, right = (manifest_of(models, top, name) for name in ("left", "right"))
    assert left["components"] == right["components"]
    assert left["warmup"]["request"] == "members/left/warmup/request.json"
    assert right["warmup"]["request"] == "members/right/warmup/request.json"


def test_another_graph_beside_the_same_weights_gets_the_models_name(alone: Path) -> None:
    manifest = json.loads((alone / "right" / "manifest.json").read_bytes())
    graph = (alone / "right" / "total" / "model.onnx").read_bytes()
    replace_file(alone / "right", manifest, "linear/model.onnx", graph)
    models, top = join(alone, left=OWN, right=OWN)
    components = manifest_of(models, top, "right")["components"]
    assert components["linear"]["graph"] == "linear/right.model.onnx"
    assert components["linear"]["byte_ranges"].keys() == {WEIGHTS}
    assert (models / "linear" / "right.model.onnx").read_bytes() == graph
    assert manifest_of(models, top, "left")["components"]["linear"]["graph"] == "linear/model.onnx"


def test_a_graph_finds_the_weights_that_had_to_be_renamed(alone: Path) -> None:
    """What export leaves over (constants) is called alike in every folder, and is no published file."""
    manifest = json.loads((alone / "right" / "manifest.json").read_bytes())
    weights = np.frombuffer((alone / "right" / WEIGHTS).read_bytes()[64:], np.float32)
    replace_file(alone / "right", manifest, WEIGHTS, bytes(64) + (2 * weights).tobytes())
    models, top = join(alone, left=OWN, right=OWN)
    answers = {}
    for name in ("left", "right"):
        component = manifest_of(models, top, name)["components"]["linear"]
        (reads,) = component["byte_ranges"]
        assert top["files"][component["graph"]]["sha256"] == digest_file(models / component["graph"])
        session = ort.InferenceSession(str(models / component["graph"]), providers=["CPUExecutionProvider"])
        answers[name] = session.run(None, {"x": np.array([VALUES], np.float32)})[0].ravel()
        assert reads == {"left": WEIGHTS, "right": "linear/right.model.bin"}[name]
    rest = sum(VALUES) + 0.5
    assert answers["left"] == pytest.approx(np.array(answer(1)) - rest)
    assert answers["right"] == pytest.approx(np.array(answer(2)) - rest)


def test_what_was_compiled_finds_the_graph_and_the_weights_that_had_to_be_renamed(alone: Path) -> None:
    """One artifact reads the component's weights, another is refitted from its graph, and a third opens that."""
    right, options = alone / "right", {"folder": "compiled/linear/c", "option_names": ["cache"]}
    manifest = json.loads((right / "manifest.json").read_bytes())
    weights = np.frombuffer((right / WEIGHTS).read_bytes()[64:], np.float32)
    replace_file(right, manifest, WEIGHTS, bytes(64) + (2 * weights).tobytes())
    node = onnx.helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", onnx_model_filename="model.onnx")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in "xy")
    refitted = onnx.helper.make_model(onnx.helper.make_graph([node], "refitted", [x], [y]))
    folder = right / "compiled/linear"
    for name in "abc":
        (folder / name).mkdir(parents=True)
    contents = {
        "compiled/linear/a/model.onnx": (right / "linear/model.onnx").read_bytes(),
        "compiled/linear/b/model.onnx": refitted.SerializeToString(),
        "compiled/linear/c/cache.timing": b"timed",
    }
    for path, content in contents.items():
        replace_file(right, manifest, path, content)
    manifest["components"]["linear"]["artifacts"] = [
        make_artifact(graph="compiled/linear/a/model.onnx", weights_folder="linear", byte_ranges={WEIGHTS: [[64, 48]]}),
        make_artifact(
            graph="compiled/linear/b/model.onnx", folder_options={"from": "linear"}, byte_ranges={WEIGHTS: [[64, 48]]}
        ),
        make_artifact(
            graph="linear/model.onnx", scratch=options, byte_ranges={"compiled/linear/c/cache.timing": [[0, 5]]}
        ),
    ]
    write_manifest(right, manifest)
    models, top = join(alone, left=OWN, right={**OWN, "compiled": "right.compiled"})
    component = manifest_of(models, top, "right")["components"]["linear"]
    assert component["graph"] == "linear/right.model.onnx"
    over, again, opened = component["artifacts"]
    session_options = ort.SessionOptions()
    session_options.add_session_config_entry(WEIGHTS_FOLDER, str(models / over["weights_folder"]))
    session = ort.InferenceSession(str(models / over["graph"]), session_options, providers=["CPUExecutionProvider"])
    got = session.run(None, {"x": np.array([VALUES], np.float32)})[0].ravel()
    assert got == pytest.approx(np.array(answer(2)) - (sum(VALUES) + 0.5))
    named = onnx.load(str(models / again["graph"])).graph.node[0].attribute
    assert [each.s.decode() for each in named] == ["right.model.onnx"]
    assert again["folder_options"] == {"from": "linear"}
    assert (opened["graph"], opened["scratch"]) == (
        "linear/right.model.onnx",
        {"folder": "right.compiled/linear/c", "option_names": ["cache"]},
    )


def test_an_asset_that_differs_lies_beside_the_other_and_is_told_apart(alone: Path) -> None:
    manifest = json.loads((alone / "right" / "manifest.json").read_bytes())
    replace_file(alone / "right", manifest, "linear/bias.txt", b"0.75")
    models, top = join(alone, left=OWN, right=OWN)
    assert top["models"]["right"]["paths"]["linear/bias.txt"] == "linear/right.bias.txt"
    assert (models / "linear" / "right.bias.txt").read_bytes() == b"0.75"
    assert (models / "linear" / "bias.txt").read_bytes() == b"0.5"


def test_the_same_inputs_give_the_same_bytes(alone: Path) -> None:
    runs = []
    for _ in range(2):
        models, _ = join(alone, left=OWN, right={name: f"right.{name}" for name in OWN})
        runs.append({path.relative_to(models): path.read_bytes() for path in models.rglob("*") if path.is_file()})
    assert runs[0] == runs[1]


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"schema": 2}', b'{"schema": 1, "image": "x", "targe": "cpu"}'])
def test_settings_of_another_version_are_refused(text: bytes) -> None:
    with pytest.raises(SettingsInvalid):
        JoinSettings.from_json(text)
