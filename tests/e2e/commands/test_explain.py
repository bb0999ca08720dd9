"""``prebake explain``: what it foretells of a change is what the next build does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from tests.support.commands.projects import Built, Project
from tests.support.registries.registry import running_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address


def explain(project: Project, *words: str, **variables: str) -> dict[str, Any]:
    return dict(json.loads(project.run("explain", "--model", "toy", "--json", *words, **variables).expect(0).stdout))


def change_code(root: Path, mark: str) -> None:
    append(root / "entrypoints" / "processes" / "log.py", mark)


def change_exporter(root: Path, mark: str) -> None:
    append(root / "images" / "toy" / "export.py", mark)


def append(path: Path, mark: str) -> None:
    path.write_text(f"{path.read_text()}\n# {mark}\n")


@pytest.mark.parametrize(("name", "change"), [("code", change_code), ("export.py", change_exporter)])
def test_what_is_foretold_of_a_change_is_what_happens(
    project: Project, tag: str, registry: str, name: str, change: Callable[[Path, str], None]
) -> None:
    place = f"registry:{registry}/toy"
    project.run("--model", "toy", "--tag", tag, "--output", f"{place}:v1").expect(0)
    before = {layer["name"]: layer["key"] for layer in project.report("toy")["layers"]}
    foretold = explain(project, "--tag", tag)["changes"][name]
    change(project.root, tag)
    project.run("--model", "toy", "--tag", tag, "--output", f"{place}:v2").expect(0)
    after = project.report("toy")
    assert [layer["name"] for layer in after["layers"] if layer["key"] != before[layer["name"]]] == foretold["layers"]
    (sent,) = after["outputs"].values()
    assert sent["bytes"] < foretold["bytes"] + 30_000  # with config, manifest and records


def test_it_tells_who_has_what(toy: Built, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/toy:v1"
    words = ("--tag", toy.tag, "--registry", name)
    places = [(layer["store"], layer["engine"], layer["registry"]) for layer in explain(toy.project, *words)["layers"]]
    assert places == [(True, True, False)] * len(places)
    toy.project.run("--model", "toy", "--tag", toy.tag, "--push", name).expect(0)
    emptied = explain(toy.project, *words, PREBAKE_CACHE=str(tmp_path / "emptied"))
    assert {(layer["engine"], layer["registry"]) for layer in emptied["layers"]} == {(True, True)}
    assert not any(layer["store"] for layer in emptied["layers"])


def test_nothing_needs_to_have_been_built_and_nothing_is(
    project: Project, engine: Connection, tag: str, tmp_path: Path
) -> None:
    found = explain(project, "--tag", tag, PREBAKE_CACHE=str(tmp_path / "empty"))
    assert {layer["digest"] for layer in found["layers"] if layer["kind"] != "weights"} == {None}
    raw = explain(project, "--tag", tag, "--compression", "raw", PREBAKE_CACHE=str(tmp_path / "empty"))
    assert all(layer["digest"] for layer in raw["layers"] if layer["kind"] == "weights")  # the lock tells it
    assert not (project.root / "build").exists()
    text = project.run("explain", "--model", "toy", PREBAKE_CACHE=str(tmp_path / "empty")).expect(0).stdout
    assert "not known before it was built once" in text


def test_without_an_engine_it_says_what_it_can(project: Project) -> None:
    ended = project.run("explain", "--model", "toy", DOCKER_HOST=f"unix://{project.root}/no.sock").expect(0)
    assert "No Docker Engine answers" in ended.stderr
    assert "first/model.safetensors" in ended.stdout
