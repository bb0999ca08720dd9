"""Lines of JSON become lines for people; other lines stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from prebake.workflow.local_run.log_lines import format_line, parse_event

MOMENT = "2026-12-03T13:47:28.875Z"
LOCAL = datetime(2026, 12, 3, 13, 47, 28, tzinfo=UTC).astimezone().strftime("%H:%M:%S")


def line(event: str, level: str = "info", **details: object) -> str:
    return format_line(json.dumps({"time": MOMENT, "level": level, "event": event, **details}))


def test_an_event_has_the_time_here_its_name_and_its_details() -> None:
    assert line("ready", name="minilm", seconds=0.9) == f"{LOCAL} ready name=minilm seconds=0.9"


def test_a_warning_says_so_and_texts_with_blanks_are_quoted() -> None:
    assert line("notice", "warning", text="no blocks") == f'{LOCAL} warning: notice text="no blocks"'


def test_a_request_is_its_method_path_status_and_time() -> None:
    told = line(
        "request", method="POST", path="/generate", status=422, seconds=0.0123, bytes_in=9, client="c", request_id="r"
    )
    assert told == f"{LOCAL} POST /generate 422 in 0.012 s"
    refused = line("request", method=None, path=None, status=400, seconds=0.0, problem="bad head")
    assert refused == f'{LOCAL} ? ? 400 in 0.000 s problem="bad head"'


def test_a_fault_is_its_code_reason_and_action() -> None:
    told = line("fault", "error", exit_code=76, reason="model code failed", action="Fix it.")
    assert told == f"{LOCAL} error: fault 76: model code failed Fix it."


def test_a_traceback_follows_indented() -> None:
    told = line(
        "exception", "error", where="start", error="ValueError: x", traceback="Traceback:\n  File y\nValueError: x"
    )
    assert told.splitlines() == [
        f'{LOCAL} error: exception where=start error="ValueError: x"',
        "    Traceback:",
        "      File y",
        "    ValueError: x",
    ]


def test_output_of_the_model_is_shown_as_it_was_printed() -> None:
    assert line("output", text="hello from model.py") == f"{LOCAL} hello from model.py"


@pytest.mark.parametrize("text", ["plain text", "{no json", '{"a": 1}', "[1]", "{" * 100_000])
def test_a_line_that_is_no_event_stays_as_it_is(text: str) -> None:
    assert parse_event(text) is None
    assert format_line(text) == text


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "a\rb", "\u202eb"])
def test_no_line_moves_the_cursor_or_clears_the_screen(text: str) -> None:
    shown = [format_line(text), line("request", method="GET", path=text, status=404), line("x", traceback=text)]
    assert all(each.isprintable() for told in shown for each in told.split("\n"))


def test_an_event_with_odd_values_is_shown_all_the_same() -> None:
    assert format_line('{"event": "x", "time": 5, "level": []}') == "--:--:-- x"
