"""Layers on their way: a line that is drawn over on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import io
import os
import pty

import pytest

from prebake.oci.blobs.content import BLOCK_BYTES, BytesContent
from prebake.workflow.layers.transfer_progress import (
    LayerBar,
    LayerLines,
    WatchedContent,
    show_progress,
    watched_chunks,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_every_few_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LayerLines(stream, clock)
    lines.what = "push"
    lines.expect({"a": 4 << 20, "b": 4 << 20})
    for step in range(9):
        clock.now = float(step)
        lines.report("a", step << 19, 4 << 20)
    clock.now = 10.0
    lines.report("b", 1 << 20, 4 << 20)
    lines.note("push", "b sent")
    lines.close()
    assert stream.getvalue().splitlines() == [
        "push: 0/2 layers, 2.5 MiB of 8.0 MiB, 512.0 KiB/s, 11 s left: a",
        "push: 1/2 layers, 5.0 MiB of 8.0 MiB, 409.6 KiB/s, 8 s left: b",
        "push: b sent",
    ]


def test_what_is_there_is_no_speed_and_a_short_transfer_shows_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = LayerLines(stream, clock)
    lines.expect({"a": 1000, "b": 1000})
    lines.report("a", 1000, 1000)
    assert stream.getvalue() == ""
    clock.now = 6.0
    lines.report("b", 0, 1000)
    assert stream.getvalue().splitlines() == [": 1/2 layers, 1000 B of 2.0 KiB: b"]


def test_a_terminal_gets_one_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = io.StringIO(), Clock()
    bar = LayerBar(stream, clock)
    bar.what = "pull"
    bar.expect({"a": 1000})
    for step in range(1, 3):
        clock.now = float(step)
        bar.report("a", 500 * step, 1000)
    bar.close()
    first, second, last = stream.getvalue().split("\r")[1:]
    assert first.startswith("[##########..........] pull: 0/1 layers, 500 B of 1000 B")
    assert second.startswith("[####################] pull: 1/1 layers, 1000 B of 1000 B, 500 B/s: a")
    assert "\n" not in stream.getvalue()
    assert last == "\x1b[K"


def test_the_form_fits_the_stream() -> None:
    with show_progress("push", io.StringIO()) as progress:
        assert isinstance(progress, LayerLines)
    ours, theirs = pty.openpty()
    try:
        with open(theirs, "w") as terminal, show_progress("push", terminal) as progress:  # noqa: PTH123
            assert isinstance(progress, LayerBar)
    finally:
        os.close(ours)


def test_bytes_are_reported_once_they_were_taken() -> None:
    stream = io.StringIO()
    with show_progress("verify", stream) as progress:
        content = WatchedContent(BytesContent(bytes(2 * BLOCK_BYTES + 1)), "a", progress)
        assert content.size == sum(len(chunk) for chunk in content.chunks())
    seen: list[tuple[str, int, int | None]] = []
    taken = watched_chunks([b"ab", b"c"], "a", 3, lambda *each: seen.append(each))
    assert next(taken) == b"ab"
    assert seen == []
    assert list(taken) == [b"c"]
    assert seen == [("a", 2, 3), ("a", 3, 3)]
