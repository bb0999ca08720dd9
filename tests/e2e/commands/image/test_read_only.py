"""Folders that the command may not write to: named, and nothing is begun in their place."""

from __future__ import annotations

from pathlib import Path

from prebake.errors import PathRefused
from tests.support.commands.projects import Project, clone
from tests.support.disks import read_only

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def toy(tmp_path: Path) -> Project:
    return clone(tmp_path / "project", "toy", variables={**NOWHERE, "PREBAKE_CACHE": str(tmp_path / "cache")})


def test_a_store_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    project = toy(tmp_path)
    (tmp_path / "cache").mkdir()
    with read_only(tmp_path / "cache"):
        for words in (("compile", "--no-engine", "--model", "toy"), ("--model", "toy", "--plan")):
            said = project.run(*words).expect(PathRefused.exit_code).stderr
            assert f"{tmp_path}/cache/store: Read-only file system." in said
            assert "PREBAKE_CACHE" in said.partition("next: ")[2]
            assert "Traceback" not in said


def test_what_was_compiled_is_found_in_a_store_that_cannot_be_written_to(tmp_path: Path) -> None:
    project = toy(tmp_path)
    project.run("compile", "--no-engine", "--model", "toy", "--keep-all").expect(0)
    with read_only(tmp_path / "cache"):
        told = project.run("--model", "toy", "--plan").expect(0).stdout
    assert "Compiled for machines" in told


def test_a_place_to_render_to_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    project = toy(tmp_path)
    (tmp_path / "place").mkdir()
    with read_only(tmp_path / "place"):
        ended = project.run("--model", "toy", "--render", str(tmp_path / "place/rendered")).expect(
            PathRefused.exit_code
        )
    assert f"{tmp_path}/place/" in ended.stderr
    assert "Read-only file system." in ended.stderr
    assert list((tmp_path / "place").iterdir()) == []
