"""Progress as lines and as a bar."""

from __future__ import annotations

import io
import os
import pty

import pytest

from prebake.checkpoints.progress import BarProgress, LineProgress, terminal_progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_every_few_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LineProgress(stream, clock)
    lines.expect({"a": 4 << 20, "b": 4 << 20})
    for step in range(9):
        clock.now = float(step)
        lines.report("a", step << 19, 4 << 20)
    lines.note("b", "waiting")
    lines.report("b", 4 << 20, 4 << 20)
    lines.close()
    assert stream.getvalue().splitlines() == [
        "0/2 files, 0 B of 8.0 MiB: a",
        "0/2 files, 2.5 MiB of 8.0 MiB, 512.0 KiB/s, 11 s left: a",
        "b: waiting",
        "2 files, 8.0 MiB, 512.0 KiB/s",
    ]


def test_a_bar_draws_over_itself_within_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream, clock = io.StringIO(), Clock()
    bar = BarProgress(stream, clock)
    bar.expect({"a" * 80: 1000})
    bar.report("a" * 80, 0, 1000)
    clock.now = 1.0
    bar.report("a" * 80, 500, 1000)
    bar.close()
    first, second, last = stream.getvalue().split("\r")[1:]
    assert first.startswith("[....................] 0/1 files")
    assert second.startswith("[##########..........] 0/1 files, 500 B of 1000 B, 500 B/s")
    assert {len(first), len(second)} == {59}
    assert last.rstrip(" \n") == "1 file, 500 B, 500 B/s"
    assert last.endswith("\n")


def test_bytes_of_an_earlier_run_are_no_speed() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LineProgress(stream, clock)
    lines.report("a", 1000, 1200)
    clock.now = 10.0
    lines.report("a", 1200, 1200)
    assert stream.getvalue().splitlines()[-1] == "1/1 files, 1.2 KiB of 1.2 KiB, 20 B/s: a"


def test_the_time_left_follows_the_speed_of_the_last_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LineProgress(stream, clock)
    lines.expect({"a": 1_000_000, "b": 1_000_000})
    for second in range(101):
        clock.now = float(second)
        lines.report("a", second * 1000 if second <= 60 else 60_000 + (second - 60) * 10_000, 1_000_000)
    last = stream.getvalue().splitlines()[-1]
    assert ", 3 min left: a" in last  # 1,540,000 bytes at 10,000 a second, and not the 6 minutes of the average
    lines.report("b", 1_000_000, 1_000_000)
    lines.report("a", 1_000_000, 1_000_000)
    clock.now += 5
    lines.report("a", 1_000_000, 1_000_000)
    assert "left" not in stream.getvalue().splitlines()[-1]


def test_nothing_is_said_of_the_time_left_while_a_size_is_not_known() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LineProgress(stream, clock)
    lines.expect({"a": 1_000_000})
    for second in range(11):
        clock.now = float(second)
        lines.report("a", second * 1000, 1_000_000)
        lines.report("b", second * 1000, None)
    assert "/s" in stream.getvalue()
    assert "left" not in stream.getvalue()


def test_a_terminal_that_cannot_draw_over_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream, os.fdopen(controller):
        assert isinstance(terminal_progress(stream), LineProgress)


def test_the_stream_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream, os.fdopen(controller):
        assert isinstance(terminal_progress(stream), BarProgress)
    assert isinstance(terminal_progress(io.StringIO()), LineProgress)
