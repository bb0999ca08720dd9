"""NO_COLOR and FORCE_COLOR, at a terminal and in a log."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest

from prebake.checkpoints.progress import Lines, terminal_progress
from prebake.colour import alarming, coloured


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield stream
    os.close(ours)


@pytest.mark.parametrize(
    ("environ", "at_terminal", "in_log"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "0"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "3"}, True, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colour_is_for_terminals_unless_a_variable_says_otherwise(
    terminal: TextIO, environ: dict[str, str], at_terminal: bool, in_log: bool
) -> None:
    assert coloured(terminal, environ) == at_terminal
    assert coloured(io.StringIO(), environ) == in_log


def test_a_forced_colour_in_a_log_makes_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar is drawn over itself, which a log keeps as one long line."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert alarming("error:", io.StringIO()).startswith("\x1b[")
    assert isinstance(terminal_progress(io.StringIO()), Lines)


def test_a_terminal_that_cannot_draw_over_a_line_gets_lines(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(terminal_progress(terminal), Lines)
