"""How a stage's error gets out of a build."""

from __future__ import annotations

import pytest

from prebake.bake.errors import BakeError, ParityFailed, WeightsError, read_error, write_error
from prebake.errors import PrebakeError, Problem, UnsafePickle


@pytest.mark.parametrize(
    "error",
    [
        BakeError("no component x", next_action="correct it"),
        UnsafePickle("a.pth refers to code: os.system.", next_action="use another"),
        WeightsError("cut short", next_action="fetch\nit again"),
        ParityFailed("two differ", [Problem("clap", "0.1 apart"), Problem("dac", "0.2 apart")], next_action="look"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_error_is_the_one_that_the_stage_raised(error: PrebakeError) -> None:
    output = ["a warning", "error: an older line", *write_error(error).splitlines()]
    found = read_error(output, error.exit_code)
    assert type(found) is type(error)
    assert found is not None
    assert (found.message, found.next_action) == (error.message, error.next_action)


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (["error: a", "  next: b"], 1),
        (["error: a", "  next: b"], None),
        (["Killed"], 25),
        (["  next: b", "error: a"], 25),
    ],
)
def test_what_no_stage_said_is_no_stages_error(output: list[str], code: int | None) -> None:
    assert read_error(output, code) is None
