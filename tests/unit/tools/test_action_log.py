"""What the action's steps print and write: any text, in any locale, and no command of somebody else."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from tools.action.check_room import group_by_disk
from tools.action.github.log import add_summary, annotate, set_output, show

NAME = "caf\u00e9 \u2026 " + os.fsdecode(b"\xff")
"""A name as the file system may give it."""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_a_name_that_the_log_cannot_have_is_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    annotate("error", NAME, title=NAME)
    text = written.getvalue().decode(encoding)
    assert text.startswith("::error title=caf")
    assert text.endswith("\\udcff\n")


def test_a_name_that_is_not_utf8_is_escaped_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    set_output("reason", NAME)
    add_summary(NAME)
    for variable in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        assert "caf\u00e9 \u2026 \\udcff\n" in (tmp_path / variable).read_text(encoding="utf-8")


def test_a_shown_text_gives_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\n::add-mask::a")
    first, *_, command, last = capsys.readouterr().out.splitlines()
    assert first.startswith("::stop-commands::")
    assert command == "::add-mask::a"
    assert last == f"::{first.removeprefix('::stop-commands::')}::"


def test_a_folder_that_cannot_be_looked_at_counts_as_its_parent(tmp_path: Path) -> None:
    assert group_by_disk({"engine": tmp_path / ("x" * 300) / "images"}, {"engine": 7}) == {tmp_path: 7}
