"""``prebake init``: from a published graph to a container that answers, without a line of Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from prebake.docker.connection import Connection
from prebake.spec.image.licenses import UNKNOWN
from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, clone, reach, read_lock
from tests.support.models.distance import ROUNDING, relative
from tests.support.models.graphs import write_graph
from tests.support.serving import serving


@pytest.fixture
def empty(engine: Connection, tmp_path: Path) -> Project:
    """A clone without images, and a graph with its weights beside it."""
    project = clone(tmp_path / "project", variables=reach(engine))
    write_graph(project.root / "published/first/model.onnx", external=True)
    return project


def test_graphs_become_an_image_that_answers_as_they_do(engine: Connection, empty: Project) -> None:
    write_graph(empty.root / "published/Second-half.onnx", seed=4)
    started = empty.run("init", "scores", "--from", "published").expect(0)
    assert started.stdout == "images/scores\n"
    assert "checkpoints.local.license.id" in started.stderr  # what it could not tell
    spec = (empty.root / "images/scores/image.yaml").read_text()
    assert f'license: {{id: "{UNKNOWN}"}}' in spec
    assert 'folder: "published"' in spec  # the same in every clone
    assert not list((empty.root / "images/scores").glob("*.py"))
    assert {file.path for file in read_lock(empty, "scores").checkpoints["local"].files} == {
        "scores/first/model.onnx",
        "scores/first/weights.bin",
        "scores/Second-half.onnx",
    }
    spec_file = empty.root / "images/scores/image.yaml"
    bucketed = 'first/model.onnx", buckets: [{rows: 4}, {rows: 16}], pad: {ids: 0, scale: 1}}'
    assert spec.count('first/model.onnx"}') == 1
    spec_file.write_text(spec.replace('first/model.onnx"}', bucketed))
    with image_name(engine) as tag:
        empty.run("--model", "scores", "--tag", tag).expect(0)
        with serving(engine, tag) as service:
            ids = np.arange(12).reshape(3, 4)
            scale = np.array([0.5, -1, 2], np.float32).reshape(3, 1, 1)
            asked = {"inputs": json.dumps({"ids": ids.tolist(), "scale": scale.tolist()})}
            for component, file in (("first", "first/model.onnx"), ("second_half", "Second-half.onnx")):
                answer = service.post(json={**asked, "component": component})
                assert answer.status_code == 200, answer.text
                graph = ort.InferenceSession(str(empty.root / "published" / file))
                (wanted,) = graph.run(None, {"ids": ids, "scale": scale})
                assert relative(answer.json()["outputs"]["scores"], wanted) < ROUNDING
            message, fields = service.refusal(422, json={"inputs": '{"ids": [[99, 0, 0, 0]], "scale": [[[1]]]}'})
            assert "the graph refuses these inputs" in message
            assert list(fields) == ["inputs"]
            rows = {"ids": [[1, 2, 3, 4]] * 17, "scale": [[[1.0]]] * 17}
            message, _ = service.refusal(422, json={"inputs": json.dumps(rows)})
            assert message == "This model does not accept rows 17: it accepts rows 1 to 4 or rows 1 to 16."
            second = {"inputs": json.dumps(rows), "component": "second_half"}  # which has no buckets
            assert service.post(json=second).status_code == 200
            assert "bucket first" not in service.get("/startup").text  # a CPU compiles nothing for a shape
            _, fields = service.refusal(422, json={**asked, "component": "third"})
            assert list(fields) == ["component"]


def test_a_sample_that_does_not_fit_is_told_by_input(empty: Project, tag: str) -> None:
    empty.run("init", "scores", "--from", "published/first/model.onnx", "--license", "MIT").expect(0)
    (empty.root / "images/scores/sample.json").write_text('{"scores": {"ids": [[1, 2]], "scael": 1}}')
    ended = empty.run("--model", "scores", "--tag", tag)
    assert ended.code not in (0, 1)
    for words in ("ids has the shape [1, 2]", "scael is not an input", "scale is missing"):
        assert words in ended.stderr


def test_a_sample_of_no_component_is_told(empty: Project, tag: str) -> None:
    empty.run("init", "scores", "--from", "published", "--license", "MIT").expect(0)
    (empty.root / "images/scores/sample.json").write_text('{"score": {"ids": [[1, 2, 3, 4]], "scale": [[[1]]]}}')
    ended = empty.run("--model", "scores", "--tag", tag)
    assert ended.code not in (0, 1)
    assert "sample.json names score, which image.yaml does not define as a component" in ended.stderr


def test_an_image_that_is_there_is_not_written_over(empty: Project) -> None:
    empty.run("init", "scores", "--from", "published").expect(0)
    before = (empty.root / "images/scores/image.yaml").read_text()
    ended = empty.run("init", "scores", "--from", "published").expect(InitRefused.exit_code)
    assert "exists already" in ended.stderr
    assert (empty.root / "images/scores/image.yaml").read_text() == before
