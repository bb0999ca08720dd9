"""Published graphs of many kinds: they bake and answer as they are.

``tests/integration/commands/init/cases`` has those that ``prebake init`` refuses.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import yaml

from prebake.bake.errors import GraphRefused
from prebake.docker.connection import Connection
from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, clone, reach
from tests.support.models.odd_graphs import GOOD, never, write
from tests.support.serving import serving

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


def test_sizes_may_be_said(project: Project) -> None:
    write(never(), project.root / "odd/never.onnx")
    project.run("init", "odd", "--from", "odd/never.onnx", "--input", "x=float32[2, 37]").expect(0)
    assert np.shape(sample_of(project, "odd")["x"]) == (2, 37)  # type: ignore[index]


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
    assert "odd/net.pt: is not an ONNX file" in ended.stderr
    assert "nowhere.npz: does not exist, or is not a file" in ended.stderr
    (project.root / "odd/real.txt").write_text("1 2 3")
    words = ("init", "odd", "--from", "odd/never.onnx", "--sample", "odd/real.txt")
    assert "has another suffix than sample.json, sample.npz" in project.run(*words).expect(InitRefused.exit_code).stderr
    np.savez(project.root / "odd/other.npz", x=np.ones((1, 36), np.float32))
    words = ("init", "odd", "--from", "odd/never.onnx", "--sample", "odd/other.npz")
    assert "does not run on x [1, 36]" in project.run(*words).expect(GraphRefused.exit_code).stderr


def test_a_container_answers_as_the_published_files(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    for name in SERVED:
        write(GOOD[name](), project.root / "kinds" / f"{name}.onnx")
    project.run("init", "kinds", "--from", "kinds", "--license", "MIT").expect(0)
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
