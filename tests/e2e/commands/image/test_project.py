"""Which project a command is about, and how it writes of places: from any folder, and the same in every clone."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from prebake.docker.connection import Connection
from tests.e2e.commands.image.test_plan import NOWHERE
from tests.support.commands.projects import Ended, Project, clone, reach
from tests.support.models.graphs import write_graph


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return clone(tmp_path / "project", "toy", variables=NOWHERE)


def run_in(folder: Path, project: Project, *words: str) -> Ended:
    """The command as somebody in ``folder`` runs it."""
    code = f"import sys; sys.path.insert(0, {str(project.root)!r}); from prebake.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    environment = project.environment()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_project_is_looked_for_upwards(project: Project, tmp_path: Path) -> None:
    inside = project.root / "images" / "toy" / "deeper"
    inside.mkdir()
    rows = json.loads(run_in(inside, project, "build", "--list", "--json").expect(0).stdout)
    assert [row["model"] for row in rows] == ["toy"]
    assert "prebake/toy:cpu-small" in run_in(inside, project, "build", "toy", "--plan").expect(0).stdout
    elsewhere = run_in(tmp_path, project, "build", "toy", "--plan", "--project", str(project.root))
    assert elsewhere.expect(0).stdout == run_in(inside, project, "build", "toy", "--plan").stdout


def test_where_there_is_no_project_it_is_said_where_it_was_looked_for(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for words in (
        ["build", "--list"],
        ["build", "toy"],
        ["lock", "toy"],
        ["deploy", "toy"],
        ["cache", "prune", "--keep"],
    ):
        ended = run_in(tmp_path / "a" / "b", project, *words).expect(11)
        for place in (tmp_path / "a" / "b", tmp_path / "a", tmp_path, Path("/")):
            assert str(place) in ended.stderr
        assert "--project DIR" in ended.stderr


def test_an_image_named_alone_is_built_as_by_the_default_verb(project: Project) -> None:
    assert project.run("toy", "--plan").expect(0).stdout == project.run("build", "toy", "--plan").expect(0).stdout
    refused = project.run("toys", "--plan").expect(2).stderr
    assert ("'toys' is none of build" in refused, "did you mean toy?" in refused) == (True, True)


def test_an_image_named_alone_is_found_in_a_project_elsewhere(project: Project, tmp_path: Path) -> None:
    there = project.run("toy", "--plan").expect(0).stdout
    for words in (["--project", str(project.root)], [f"--project={project.root}"]):
        assert run_in(tmp_path, project, "toy", *words, "--plan").expect(0).stdout == there
        assert run_in(tmp_path, project, "toy", "--plan", *words).expect(0).stdout == there


def test_the_command_for_a_rendered_folder_can_be_pasted(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "rendered here"
    ended = run_in(project.root, project, "toy", "--render", str(folder)).expect(0)
    told = next(line for line in ended.stderr.splitlines() if line.startswith("rendered: "))
    assert shlex.split(told)[-1] == str(folder)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("project/checkpoints/scores", "checkpoints/scores"),
        ("beside/scores", "../beside/scores"),
        ("project/linked", "linked"),
    ],
)
def test_init_names_a_checkpoint_by_its_place_from_the_project(
    engine: Connection, tmp_path: Path, place: str, named: str
) -> None:
    project = clone(tmp_path / "project", "toy", variables=reach(engine))
    folder = tmp_path / place
    if folder.name == "linked":
        (tmp_path / "cache").mkdir()
        folder.symlink_to(tmp_path / "cache", target_is_directory=True)
    else:
        folder.mkdir(parents=True)
    write_graph(folder / "scores.onnx")
    for origin in (folder, folder / "scores.onnx"):
        name = "whole" if origin == folder else "single"
        ended = run_in(project.root / "images", project, "init", name, "--from", str(origin)).expect(0)
        document = yaml.safe_load((project.root / f"images/{name}/image.yaml").read_text())
        assert [each["folder"] for each in document["checkpoints"]["local"]["sources"]] == [named]
        for path in (project.root / "images" / name).rglob("*"):
            assert path.is_dir() or str(tmp_path) not in path.read_text(), path
        assert (f"outside of the project's folder: {named}" in ended.stderr) == named.startswith("..")


def test_init_begins_a_project_where_there_is_none(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    place = tmp_path / "new"
    place.mkdir()
    write_graph(place / "scores.onnx")
    assert run_in(place, project, "init", "scores", "--from", "scores.onnx").expect(0).stdout == "images/scores\n"
    assert (place / "images/scores/weights.lock").is_file()
