"""NO_COLOR and FORCE_COLOR, at a terminal and in a log."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from prebake.checkpoints.progress import LineProgress, terminal_progress
from prebake.io.terminal import Screen, read_screen, red, use_color


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
    assert use_color(terminal, environ) == at_terminal
    assert use_color(io.StringIO(), environ) == in_log


def test_a_forced_colour_in_a_log_makes_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar is drawn over itself, which a log keeps as one long line."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert red("error:", io.StringIO()).startswith("\x1b[")
    assert isinstance(terminal_progress(io.StringIO()), LineProgress)


def test_a_terminal_that_cannot_draw_over_a_line_gets_lines(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(terminal_progress(terminal), LineProgress)


def test_a_log_file_has_80_columns_and_the_characters_of_its_encoding(terminal: TextIO) -> None:
    for encoding, blocks in (("utf-8", True), ("ascii", False), ("latin-1", False)):
        log = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert read_screen(log, {}) == Screen(columns=80, blocks=blocks, color=False)
    assert read_screen(io.StringIO(), {"COLUMNS": "100"}).columns == 100
    assert read_screen(io.StringIO(), {"COLUMNS": "wide"}).columns == 80


def test_a_terminal_has_its_own_width_unless_columns_is_set(terminal: TextIO) -> None:
    termios.tcsetwinsize(terminal.fileno(), (40, 132))
    assert read_screen(terminal, {}).columns == 132
    assert read_screen(terminal, {"COLUMNS": "90"}).columns == 90
    termios.tcsetwinsize(terminal.fileno(), (0, 0))
    assert read_screen(terminal, {}).columns == 80


def test_a_screen_without_colour_styles_nothing() -> None:
    assert Screen(color=True).strong("a") != Screen(color=True).dim("a") != "a"
    assert (Screen().strong("a"), Screen().dim("a")) == ("a", "a")
