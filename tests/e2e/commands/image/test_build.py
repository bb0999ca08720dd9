"""One build by the real command: what it prints, what it writes, what it makes again after a change and why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.measure.report.waterfall import lay_out_report
from tests.support.commands.leftovers import find_leavings
from tests.support.commands.projects import Built, Project, add_pair, change_spec


def test_the_result_goes_to_stdout_and_the_story_to_stderr(toy: Built) -> None:
    assert toy.ended.stdout.splitlines()[0] == f"image   {toy.tag}"
    assert toy.report["digest"] in toy.ended.stdout
    for layer in toy.report["layers"]:
        assert f"{layer['name']}: {layer['reason']}" in toy.ended.stdout
    for step in ("base:", "layers:", "docker:", "verify:"):
        assert re.search(rf"^{step} ", toy.ended.stderr, re.MULTILINE), step
        assert not re.search(rf"^{step} ", toy.ended.stdout, re.MULTILINE)
    waterfall = toy.ended.stdout.partition("critical path")[2]
    assert re.search(r"^  warm-up +[0-9.]+ +[█#]+$", waterfall, re.MULTILINE)
    assert toy.ended.stdout.rstrip().endswith(waterfall.rstrip())  # it is the last thing on the screen


@pytest.mark.parametrize("model", ["toy", "minilm", "foley"])
def test_it_is_quiet_and_colourless_where_there_is_no_terminal(request: pytest.FixtureRequest, model: str) -> None:
    built: Built = request.getfixturevalue(model)
    for text in (built.ended.stdout, built.ended.stderr):
        assert "\x1b" not in text
        assert "\r" not in text
    assert len(built.ended.stderr.splitlines()) < 60


@pytest.mark.parametrize("model", ["toy", "minilm", "foley"])
def test_the_report_has_what_others_read_of_it(request: pytest.FixtureRequest, engine: Connection, model: str) -> None:
    built: Built = request.getfixturevalue(model)
    report, image = built.report, inspect_image(engine, built.tag)
    assert (report["image"], report["digest"]) == (built.tag, image.digest)
    assert [layer["diff_id"] for layer in report["layers"]] == [layer.diff_id for layer in image.layers]
    for layer in report["layers"]:
        assert layer["size"] > 0
        assert layer["reason"]
        assert layer["status"] == "built"  # there was no earlier build in this clone
    assert [step for step in report["step_seconds"] if step not in ("fetch", "context")] == [
        "base",
        "layers",
        "docker",
        "verify",
    ]
    context = [step for step in report["pipeline"] if step["action"] == "context" and step["state"] == "run"]
    assert ("context" in report["step_seconds"]) == bool(context)  # it is written if a step reads it
    assert {"bind", "import numpy", "import onnxruntime", "warm-up"} <= {phase["name"] for phase in report["phases"]}
    assert all({"name", "start", "seconds"} == set(phase) for phase in report["phases"])
    start = report["start"]
    assert 0 < start["container_seconds"] < start["ready_seconds"]
    bars = {bar.name: bar for lane in lay_out_report(report).lanes for bar in lane.bars}
    assert bars["warm-up"].critical
    assert bars["warm-up"].end < start["ready_seconds"]
    assert 0 < report["floor_seconds"] < report["ttfi_seconds"] * 10
    assert report["ready_seconds"] > 0
    assert 0 <= report["answer_difference"] < 1e-3


def test_it_is_started_as_often_as_asked(toy: Built) -> None:
    assert toy.report["starts"] == 1
    toy.project.run("--model", "toy", "--tag", toy.tag, "--starts", "2").expect(0)
    assert toy.project.report("toy")["starts"] == 2
    refused = toy.project.run("--model", "toy", "--tag", toy.tag, PREBAKE_STARTS="-1").expect(2)
    assert "PREBAKE_STARTS: must be at least 0" in refused.stderr


@pytest.mark.parametrize("model", ["toy", "pair"])
def test_without_timed_starts_the_answer_is_compared_all_the_same(project: Project, tag: str, model: str) -> None:
    add_pair(project)
    ended = project.run("--model", model, "--tag", tag, "--starts", "0").expect(0)
    assert "started once, not timed: the answer is" in ended.stdout
    report = project.report(model)
    assert report["starts"] == 0
    assert 0 <= report["answer_difference"] < 1e-3
    assert not {"ready_seconds", "ttfi_seconds", "floor_seconds", "start", "phases"} & report.keys()
    assert all(0 <= each["answer_difference"] < 1e-3 for each in report.get("models", {}).values())


def test_nothing_half_written_is_left(engine: Connection, toy: Built) -> None:
    assert find_leavings(engine, toy.project, toy.tag) == []


def test_the_picture_of_layers_is_the_plans(toy: Built) -> None:
    plan = json.loads(toy.project.run("--model", "toy", "--tag", toy.tag, "--plan", "--json").expect(0).stdout)
    above = [layer for layer in toy.report["layers"] if layer["kind"] != "base"]
    assert [(layer["name"], layer["key"]) for layer in plan["layers"]] == [
        (layer["name"], layer["key"]) for layer in above
    ]
    assert (toy.report["keys"]["export"], toy.report["keys"]["compile"]) == (plan["export_key"], plan["compile_key"])


def change_model(root: Path) -> str:
    path = root / "images" / "toy" / "model.py"
    path.write_text(path.read_text().replace("give eight numbers", "give seven numbers"))
    return "app/images/toy/model.py"


def change_entrypoint(root: Path) -> str:
    path = root / "entrypoints" / "processes" / "log.py"
    path.write_text(path.read_text() + "\n# changed\n")
    return "app/entrypoints/processes/log.py"


def add_notice(root: Path) -> str:
    (root / "images" / "toy" / "NOTICE").write_text("written by the tests\n")
    change_spec(Project(root), lambda document: document.update(notices=["NOTICE"]))
    return "app/notices/NOTICE"


def test_a_change_of_code_makes_the_code_layer_alone_again_and_the_report_says_why(
    engine: Connection, project: Project, tag: str
) -> None:
    changes: list[Callable[[Path], str]] = [change_model, change_entrypoint, add_notice]
    before = built(project, tag)
    for change in changes:
        name = change(project.root)
        now = built(project, tag)
        layers = {layer["name"]: layer for layer in now["layers"]}
        assert (layers["code"]["status"], layers["code"]["reason"]) == ("rebuilt", f"changed: {name}")
        for layer in before["layers"]:
            if layer["name"] != "code":
                assert layers[layer["name"]]["digest"] == layer["digest"]
                assert layers[layer["name"]]["status"] == "reused"
        assert "fetch" not in now["step_seconds"]
        assert [step["instruction"] for step in now["buildkit_steps"] if "packages" in step["instruction"]] == []
        (sent,) = now["outputs"].values()
        assert sent["bytes"] < layers["code"]["blob_size"] + 20_000  # with the manifest and the config
        before = now
    assert find_leavings(engine, project, tag) == []


def built(project: Project, tag: str) -> dict[str, Any]:
    """The report, from stdout; it is the file's."""
    report = dict(json.loads(project.run("--model", "toy", "--tag", tag, "--json").expect(0).stdout))
    assert report == project.report("toy")
    return report


def test_an_image_replaces_the_one_before_under_its_name(engine: Connection, toy: Built) -> None:
    with closing(engine.client()) as client:
        assert toy.tag in client.images.get(toy.report["digest"]).tags
