"""Relative links of the documents: the file is there, and so is the heading that the link names."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.repository import ROOT

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def documents() -> list[str]:
    listed = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


@cache
def prose_of(path: Path) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


@cache
def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document, and those that the document sets itself."""
    anchors = dict.fromkeys(re.findall(r"<a id=\"([^\"]+)\">", prose_of(path)), 0)
    for heading in HEADING.findall(prose_of(path)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        anchors[anchor] = anchors.get(anchor, -1) + 1
    return {name if not number else f"{name}-{number}" for name, last in anchors.items() for number in range(last + 1)}


def dead_links(name: str) -> list[str]:
    page, dead = ROOT / name, []
    for target, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", prose_of(page))):
        place = Path(os.path.normpath(page.parent / target)) if target else page
        if not place.exists():
            dead.append(f"{name}: {target} is not there")
        elif anchor and place.suffix == ".md" and anchor not in anchors_of(place):
            dead.append(f"{name}: {target or name} has no heading {anchor!r}")
    return dead


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git tells which files are the project's")
def test_every_link_leads_to_a_file_and_a_heading() -> None:
    dead = [link for name in documents() for link in dead_links(name)]
    assert not dead, "\n".join(dead)
