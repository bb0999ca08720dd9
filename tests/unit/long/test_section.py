"""The section of a long run, and its place in the page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.long import section
from tests.long.program import without_page
from tests.long.section import Circumstances, Outcome, note_circumstances, read_processor, render, write

ABOUT = Circumstances("python -m tests.long.soak", datetime.now(UTC), "0123456789ab", "a machine", 1.5, "quiet")


def test_it_says_when_where_and_how() -> None:
    about = note_circumstances("python -m tests.long.aa --series 2", "28.0", "other work ran")
    text = render(about, Outcome(["| a | table |"]))
    assert "`python -m tests.long.aa --series 2`" in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, commit (\w{12}\b|unknown)", text)
    assert re.search(r"Machine:\*\* .+, \d+ cores, Linux .+, Docker Engine 28\.0", text)
    assert "other work ran" in text
    assert "**Result:** passed" in text
    assert text.endswith("| a | table |")


def test_a_run_that_found_something_failed() -> None:
    text = render(ABOUT, Outcome([], ["memory grew", "a wrong answer"]))
    assert "**Result:** failed\n  - memory grew\n  - a wrong answer" in text


def test_a_section_replaces_only_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- soak -->\nold\n<!-- /soak -->\nmiddle\n<!-- aa -->\nother\n<!-- /aa -->\n")
    write(page, "soak", "new")
    write(page, "soak", "newer")
    expected = "# Before\n<!-- soak -->\nnewer\n<!-- /soak -->\nmiddle\n<!-- aa -->\nother\n<!-- /aa -->\n"
    assert page.read_text() == expected


def test_a_page_without_the_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="has no marks <!-- soak -->"):
        write(page, "soak", "new")
    assert page.read_text() == "no marks\n"


@pytest.mark.parametrize("run", ["soak", "malformed", "restarts", "published", "aa"])
def test_the_page_has_a_place_for_each_run(run: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(section.PAGE.read_text())
    write(page, run, "a result")
    assert f"<!-- {run} -->\na result\n<!-- /{run} -->" in page.read_text()


def test_where_the_section_goes_is_no_parameter_of_the_run() -> None:
    words = [
        "--minutes",
        "5",
        "--write",
        "page.md",
        "--note",
        "a note",
        "--model",
        "minilm",
        "--write",
        "--growth",
        "1",
    ]
    assert without_page(words) == ["--minutes", "5", "--model", "minilm", "--growth", "1"]


def test_a_processor_without_a_name_is_its_architecture(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Processor @ 2 GHz\n")
    assert read_processor(cpuinfo) == "A Processor @ 2 GHz"
    cpuinfo.write_text("processor\t: 0\n")
    assert read_processor(cpuinfo)
