"""How a stage's error gets to the builder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prebake.bake.errors import BakeError, ParityFailed, WeightsError, from_document, to_document
from prebake.documents.stage_error import ERROR_FILE, StageError
from prebake.errors import ChecksumMismatch, PrebakeError, Problem, UnsafePickle


class OwnError(BakeError):
    """A class that only a model's export.py knows."""


@pytest.mark.parametrize(
    "error",
    [
        BakeError("no component x", next_action="correct it"),
        UnsafePickle("a.pth refers to code: os.system.", next_action="use another"),
        WeightsError("cut short", next_action="fetch\nit again"),
        ParityFailed("two differ", [Problem("clap", "0.1 apart", "hint"), Problem("dac", "0.2")], next_action="look"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_error_is_the_one_that_the_stage_raised(tmp_path: Path, error: PrebakeError) -> None:
    to_document(error).save(tmp_path / "out")
    found = from_document(StageError.load(tmp_path / "out"), error.exit_code)
    assert type(found) is type(error)
    assert found is not None
    assert (found.message, found.next_action) == (error.message, error.next_action)
    assert getattr(found, "problems", ()) == getattr(error, "problems", ())


def test_an_error_of_an_unknown_class_is_that_of_its_exit_code() -> None:
    found = from_document(to_document(OwnError("no", next_action="yes")), OwnError.exit_code)
    assert type(found) is BakeError


def test_an_error_is_found_in_the_log_of_a_build() -> None:
    error = to_document(BakeError("no", next_action="yes"))
    line = json.dumps({"prebake_error": json.loads(error.to_json())})
    assert StageError.find_in_log(["error: no", "  next: yes", line, "a warning"]) == error
    assert StageError.find_in_log(["error: no", "  next: yes"]) is None
    assert StageError.find_in_log([line[:-2]]) is None


@pytest.mark.parametrize("code", [1, None, ChecksumMismatch.exit_code])
def test_another_exit_code_is_no_stages_error(code: int | None) -> None:
    assert from_document(to_document(BakeError("no", next_action="yes")), code) is None
    assert from_document(None, BakeError.exit_code) is None


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"message": 3}, {"problems": [{"what": "x"}]}, {"problems": [7]}, {"kind": None}, {"problems": 5}],
)
def test_a_damaged_document_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    document = json.loads(to_document(BakeError("no", next_action="yes")).to_json())
    (tmp_path / ERROR_FILE).write_text(json.dumps({**document, **change}))
    assert StageError.load(tmp_path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    to_document(BakeError("no", next_action="yes")).save(tmp_path / "elsewhere")
    (tmp_path / ERROR_FILE).symlink_to(tmp_path / "elsewhere" / ERROR_FILE)
    assert StageError.load(tmp_path) is None
