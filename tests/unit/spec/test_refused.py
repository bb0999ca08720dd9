"""Every image.yaml and weights.lock that Prebake refuses, with all that it says. ``cases/README.md`` says how to add one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import prebake
from prebake.errors import InputProblems, LockMismatch, SpecInvalid
from prebake.spec.lock import RELOCK, parse_lock
from prebake.spec.reader import FIX, parse_image
from prebake.spec.upgrade.upgraded_file import upgrade_image, upgrade_lock
from tests.support.repository import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "tests/unit/spec/cases").glob("*/refused.txt"))


@dataclass(frozen=True)
class Case:
    """``change``: of the file in ``folder``, as a diff writes it. ``said``: what is said of it, a line for each problem."""

    folder: Path
    change: str
    said: str

    @property
    def is_lock(self) -> bool:
        return (self.folder / "weights.lock").is_file()

    @property
    def where(self) -> str:
        return f"images/{self.folder.name}/{'weights.lock' if self.is_lock else 'image.yaml'}"

    def text(self) -> str:
        """The changed file. Lines that replace none are added at its end."""
        text = "\n" + (self.folder / Path(self.where).name).read_text(encoding="utf-8")
        for hunk in re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)*)", self.change, re.MULTILINE):
            removed, added = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in hunk)
            assert not removed or text.count(f"\n{removed}") == 1, f"{removed!r} is not there once"
            text = text.replace(f"\n{removed}", f"\n{added}") if removed else text + added
        return text[1:]

    def refused(self) -> str:
        """Its problems; then the exit code and the next action if they are not the usual ones."""
        parse, usual = (parse_lock, LockMismatch) if self.is_lock else (parse_image, SpecInvalid)
        action = RELOCK.format(name=self.folder.name) if self.is_lock else FIX
        with pytest.raises(InputProblems) as refused:
            parse(self.text(), self.where)
        lines = [str(problem) for problem in refused.value.problems]
        lines += [] if refused.value.exit_code == usual.exit_code else [f"exit code {refused.value.exit_code}"]
        lines += [] if refused.value.next_action == action else [f"next: {refused.value.next_action}"]
        return "".join(f"{line}\n" for line in lines).replace(f"({prebake.__version__})", "(VERSION)")


def read_cases(folder: Path) -> Iterator[Case]:
    for block in (folder / "refused.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n"):
        parts = re.fullmatch(r"((?:[-+].*\n)+)((?s:.*))", f"{block}\n")
        assert parts, f"{folder.name}/refused.txt: {block!r} does not begin with a change"
        yield Case(folder, *parts.groups())


def name_of(case: Case) -> str:
    return f"{case.folder.name}: {case.change.strip().splitlines()[-1]}"


def write_cases(folder: Path) -> None:
    """The same changes, with what is said of them now."""
    blocks = [case.change + case.refused() for case in read_cases(folder)]
    (folder / "refused.txt").write_text("\n".join(blocks), encoding="utf-8")


if os.environ.get("PREBAKE_GOLDEN") == "write":
    for each in FOLDERS:
        write_cases(each)
CASES = [case for folder in FOLDERS for case in read_cases(folder)]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_all_that_is_said_of_it_is_expected(case: Case) -> None:
    assert case.refused() == case.said


@pytest.mark.parametrize("case", [case for case in CASES if case.folder.name == "unreadable"], ids=name_of)
def test_an_unreadable_image_yaml_is_not_upgraded(case: Case) -> None:
    file, problems = upgrade_image(case.text(), case.where)
    assert file is None
    assert "".join(f"{problem}\n" for problem in problems) == case.said


@pytest.mark.parametrize("case", [case for case in CASES if case.is_lock], ids=name_of)
def test_a_lock_that_cannot_be_read_is_not_upgraded(case: Case) -> None:
    file, problems = upgrade_lock(case.text().replace('"schema": 2', '"schema": 1'), case.where)
    assert file is None
    assert problems
