"""``PREBAKE_ERROR_FILE``: the error of a command that failed, as JSON with the line of each problem."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from prebake.cli import main
from prebake.errors import Problem, SpecInvalid, UnknownImage

BROKEN = """schema: 2
name: toy
targets: [cpu]
taregts: [cpu]
checkpoint: large
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in: a project whose only image is broken."""
    (tmp_path / "images/toy").mkdir(parents=True)
    (tmp_path / "images/toy/image.yaml").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def error_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "errors/error.json"
    monkeypatch.setenv("PREBAKE_ERROR_FILE", str(path))
    return path


def read(path: Path) -> Mapping[str, Any]:
    return dict(json.loads(path.read_text(encoding="ascii")))


def test_problems_of_image_yaml_have_their_file_and_line(error_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "toy", "--plan"]) == SpecInvalid.exit_code
    document = read(error_file)
    assert {name: document[name] for name in ("schema", "exit_code", "error")} == {
        "schema": 1,
        "exit_code": SpecInvalid.exit_code,
        "error": "SpecInvalid",
    }
    printed = capsys.readouterr().err
    assert document["message"] in printed
    assert document["next_action"] in printed
    unknown = next(problem for problem in document["problems"] if problem["what"] == "unknown key")
    assert unknown == {
        "where": "images/toy/image.yaml:4 taregts",
        "what": "unknown key",
        "hint": "did you mean 'targets'?",
        "file": "images/toy/image.yaml",
        "line": 4,
    }
    assert all(problem["file"] == "images/toy/image.yaml" and problem["line"] for problem in document["problems"])


def test_an_error_without_problems_has_an_empty_list(error_file: Path) -> None:
    assert main(["build", "tyo", "--plan"]) == UnknownImage.exit_code
    document = read(error_file)
    assert (document["error"], document["problems"]) == ("UnknownImage", [])


def test_a_message_with_a_name_that_is_not_utf8_is_written(error_file: Path) -> None:
    name = os.fsdecode(b"t\xffy")
    assert main(["build", name, "--plan"]) == UnknownImage.exit_code
    assert repr(name) in read(error_file)["message"]


@pytest.mark.parametrize("words", [["schema"], ["build", "--nonsense"], ["--version"]])
def test_the_file_of_an_earlier_error_is_removed(error_file: Path, words: list[str]) -> None:
    """Also by a command line that argparse refuses, whose error it does not describe."""
    error_file.parent.mkdir()
    error_file.write_text("{}")
    with suppress(SystemExit):
        main(words)
    assert not error_file.exists()


def test_no_variable_no_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREBAKE_ERROR_FILE", "")
    before = sorted(project.rglob("*"))
    assert main(["build", "tyo", "--plan"]) == UnknownImage.exit_code
    assert sorted(project.rglob("*")) == before


def make_folder(path: Path) -> None:
    path.mkdir(parents=True)


def make_parent_a_file(path: Path) -> None:
    path.parent.touch()


def make_pipe(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)


@pytest.mark.parametrize("obstruct", [make_folder, make_parent_a_file, make_pipe])
def test_a_file_that_cannot_be_written_does_not_hide_the_error(
    error_file: Path, obstruct: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    obstruct(error_file)
    assert main(["build", "tyo", "--plan"]) == UnknownImage.exit_code
    printed = capsys.readouterr().err
    assert "error: No image has the name 'tyo'." in printed
    assert f"warning: PREBAKE_ERROR_FILE: {error_file} is not written" in printed
    assert not error_file.is_file()
    assert error_file.parent.exists()


@pytest.mark.parametrize(
    ("where", "file", "line"),
    [
        ("images/toy/image.yaml:12 sources[0].files", "images/toy/image.yaml", 12),
        ("images/toy/weights.lock: base", "images/toy/weights.lock", None),
        ("images/toy/weights.lock:3", "images/toy/weights.lock", 3),
        ("images/toy/image.yaml", "images/toy/image.yaml", None),
        ("127.0.0.1:5000/toy:v1", None, None),
        ("manifest", None, None),
    ],
)
def test_the_file_of_a_problem_is_known_if_it_is_of_an_image(where: str, file: str | None, line: int | None) -> None:
    problem = Problem(where, "is wrong")
    assert (problem.file, problem.line) == (file, line)


def test_a_path_that_cannot_be_looked_at_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREBAKE_ERROR_FILE", str(tmp_path / ("x" * 300) / "error.json"))
    assert main(["build", "tyo", "--plan"]) == UnknownImage.exit_code
    printed = capsys.readouterr().err
    assert "error: No image has the name 'tyo'." in printed
    assert "is not written: File name too long" in printed
