"""Published graphs of many kinds: they bake and answer as they are, or ``prebake init`` refuses them by name, all at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import yaml

from prebake.bake.errors import GraphRefused
from prebake.engine.connection import Connection
from prebake.workflow.beginnings.beginning import InitRefused
from tests.conftest import image_name
from tests.odd_graphs import BAD, GOOD, never, write
from tests.projects import Project, clone, reach
from tests.serving import serving

SERVED = ("old", "question", "rankless", "voice", "text", "gaps", "constants")


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return clone(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def project(module_project: Project) -> Project:
    """Without images."""
    shutil.rmtree(module_project.root / "images", ignore_errors=True)
    return module_project


def sample_of(project: Project, name: str) -> object:
    return json.loads((project.root / "images" / name / "sample.json").read_text())[name]


def test_everything_that_cannot_be_served_is_told_at_once(project: Project) -> None:
    for name, (model, _) in BAD.items():
        write(model(), project.root / "bad" / f"{name}.onnx")
    ended = project.run("init", "odd", "--from", "bad").expect(GraphRefused.exit_code)
    for name, (_, said) in BAD.items():
        assert f"{name}: " in ended.stderr
        for words in said:
            assert words in ended.stderr
    assert ended.stderr.count("next:") == 1
    assert not (project.root / "images").exists()


def test_sizes_are_found_and_told(project: Project) -> None:
    write(GOOD["detector"](), project.root / "det/detector.onnx")
    ended = project.run("init", "det", "--from", "det/detector.onnx").expect(0)
    assert "images [1, 3, 16, 16]" in ended.stderr
    assert sample_of(project, "det") == {"images": {"shape": [1, 3, 16, 16], "seed": 1}}


def test_sizes_that_the_publisher_tells_come_first(project: Project) -> None:
    model = GOOD["detector"]()
    model.metadata_props.add(key="imgsz", value="[48, 64]")
    write(model, project.root / "det/yolo.onnx")
    project.run("init", "det", "--from", "det/yolo.onnx").expect(0)
    assert sample_of(project, "det") == {"images": {"shape": [1, 3, 48, 64], "seed": 1}}


def test_sizes_may_be_said(project: Project) -> None:
    write(never(), project.root / "odd/never.onnx")
    project.run("init", "odd", "--from", "odd/never.onnx", "--input", "x=float32[2, 37]").expect(0)
    assert np.shape(sample_of(project, "odd")["x"]) == (2, 37)  # type: ignore[index]
    shutil.rmtree(project.root / "images")
    said = ("--input", "x=int64[2, 37]", "--input", "X=[1]")
    ended = project.run("init", "odd", "--from", "odd/never.onnx", *said).expect(InitRefused.exit_code)
    assert "x: is float32, not int64" in ended.stderr
    ended = project.run("init", "odd", "--from", "odd/never.onnx", "--input", "x=[2, 36]").expect(
        GraphRefused.exit_code
    )
    assert "does not run on x [2, 36]" in ended.stderr


def test_real_inputs_may_be_given_as_arrays(project: Project) -> None:
    write(never(), project.root / "odd/never.onnx")
    np.savez(project.root / "odd/real.npz", x=np.ones((1, 37), np.float32))
    project.run("init", "odd", "--from", "odd/never.onnx", "--sample", "odd/real.npz").expect(0)
    spec = yaml.safe_load((project.root / "images/odd/image.yaml").read_text())
    assert spec["code"]["export"] == ["sample.npz"]
    assert np.load(project.root / "images/odd/sample.npz")["x"].shape == (1, 37)
    assert not (project.root / "images/odd/sample.json").exists()


def test_a_sample_that_nothing_can_be_asked_with_is_refused(project: Project) -> None:
    write(never(), project.root / "odd/never.onnx")
    (project.root / "odd/net.pt").write_bytes(b"not looked into")
    ended = project.run("init", "odd", "--from", "odd/net.pt", "--sample", "nowhere.npz").expect(InitRefused.exit_code)
    assert "odd/net.pt: is no ONNX file" in ended.stderr
    assert "nowhere.npz: is no file here" in ended.stderr
    (project.root / "odd/real.txt").write_text("1 2 3")
    words = ("init", "odd", "--from", "odd/never.onnx", "--sample", "odd/real.txt")
    assert "is none of sample.json, sample.npz" in project.run(*words).expect(InitRefused.exit_code).stderr
    np.savez(project.root / "odd/other.npz", x=np.ones((1, 36), np.float32))
    words = ("init", "odd", "--from", "odd/never.onnx", "--sample", "odd/other.npz")
    assert "does not run on x [1, 36]" in project.run(*words).expect(GraphRefused.exit_code).stderr


def test_values_of_the_files_own_are_told(project: Project) -> None:
    write(GOOD["defaults"](), project.root / "odd/defaults.onnx")
    ended = project.run("init", "odd", "--from", "odd/defaults.onnx").expect(0)
    assert "has values of its own for scale" in ended.stderr


def test_files_that_a_graph_lacks_are_named(project: Project) -> None:
    from tests.graphs import write_graph

    write_graph(project.root / "odd/model.onnx", external=True)
    (project.root / "odd/weights.bin").unlink()
    ended = project.run("init", "odd", "--from", "odd/model.onnx").expect(GraphRefused.exit_code)
    assert "model.onnx: weights.bin: is missing" in ended.stderr


def test_a_container_answers_as_the_published_files(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    for name in SERVED:
        write(GOOD[name](), project.root / "kinds" / f"{name}.onnx")
    project.run("init", "kinds", "--from", "kinds", "--licence", "MIT").expect(0)
    random = np.random.default_rng(5)
    line = random.standard_normal((1, 3, 48, 192)).astype(np.float32)
    asked = {
        "old": {"x": np.ones((3, 4), np.float32)},
        "question": {"x": line},
        "rankless": {"x": np.array([[[1, -2]]], np.float32)},
        "voice": {"input": line[0, 0, :1, :100], "state": np.ones((2, 1, 128), np.float32), "sr": np.array(16_000)},
        "gaps": {"x": line[0, 0, :2, :16]},
        "constants": {"x": line[0, 0, :2, :64]},
    }
    with image_name(engine) as tag:
        project.run("--model", "kinds", "--tag", tag).expect(0)
        with serving(engine, tag) as service:
            for name, inputs in asked.items():
                published = ort.InferenceSession(str(project.root / "kinds" / f"{name}.onnx"))
                given = json.dumps({key: array.tolist() for key, array in inputs.items()})
                answer = service.post(json={"component": name, "inputs": given})
                assert answer.status_code == 200, answer.text
                for output, wanted in zip(answer.json()["outputs"].values(), published.run(None, inputs), strict=True):
                    finite = np.where(np.isfinite(wanted), wanted, np.nan)
                    np.testing.assert_allclose(np.array(output, float), finite, rtol=1e-4, atol=1e-4)
            answer = service.post(json={"component": "text", "inputs": '{"x": ["Grüße"]}'})
            assert answer.json() == {"outputs": {"y": ["grüße"]}}
