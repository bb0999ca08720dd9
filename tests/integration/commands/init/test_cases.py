"""``prebake init``: all that it says of a checkpoint that it begins with or refuses, and of one that the export refuses.

``cases/README.md`` says how to add a case.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from prebake.errors import PrebakeError
from tests.support.commands.projects import Project
from tests.support.models.described import Generators, write_described
from tests.support.models.generated import bake
from tests.support.repository import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "tests/integration/commands/init/cases").glob("*/init.txt"))
SAID = "exit code "
"""Begins what a case expects."""


@dataclass(frozen=True)
class Case:
    """A block of init.txt: its text in YAML with the values that it gives, and what is said of it."""

    folder: Path
    number: int
    text: str
    said: str
    write: Generators
    change: Mapping[str, Any] = field(default_factory=dict)
    init: str = "NAME --from PUBLISHED"
    bake: bool = False
    holds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unlike those of others, as Python keeps the modules of an image."""
        return f"{self.folder.name}{self.number}"

    @property
    def published(self) -> str:
        return f"published/{self.folder.name}"

    def words(self) -> list[str]:
        return shlex.split(self.init.replace("NAME", self.name).replace("PUBLISHED", self.published))

    def plain(self, said: str, root: Path) -> str:
        """Without empty lines, and with the same names in every clone."""
        for found, name in ((str(root), "PROJECT"), (self.published, "PUBLISHED"), (self.name, "NAME")):
            said = said.replace(found, name)
        return "".join(f"{line}\n" for line in said.splitlines() if line.strip())


def read_blocks(folder: Path) -> list[str]:
    return (folder / "init.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")


def read_cases(folder: Path) -> Iterator[Case]:
    write = yaml.safe_load((folder / "checkpoint.yaml").read_text(encoding="utf-8"))
    for number, block in enumerate(read_blocks(folder)):
        text, said, rest = f"{block}\n".partition(SAID)
        yield Case(folder, number, text, said + rest, **{"write": write, **yaml.safe_load(text)})


def begin(case: Case, project: Project, out: Path) -> str:
    """What is said of it: the error, or what init says while it writes an image."""
    write_described(project.root / case.published, case.write, case.change)
    name, *words = case.words()
    ended = project.run("init", name, *words)
    image = project.root / "images" / name
    assert image.exists() if ended.code == 0 else not image.parent.exists(), ended.stderr
    for file, wanted in case.holds.items():
        text = (image / file).read_text(encoding="utf-8")
        assert wanted in text if isinstance(wanted, str) else wanted == json.loads(text)
    if case.bake:
        ended.expect(0)
        with pytest.raises(PrebakeError) as refused:
            bake(project, name, out)
        error = refused.value
        return f"{SAID}{error.exit_code} of the export\n{error.message}\n  next: {error.next_action}"
    lines = ended.stderr.splitlines()
    start = next((index for index, line in enumerate(lines) if "error: " in line), None)
    shown = [line for line in lines if line.startswith("init: ")] if start is None else lines[start:]
    return "\n".join([f"{SAID}{ended.code}", *shown])


CASES = [case for folder in FOLDERS for case in read_cases(folder)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.name}: {case.text.splitlines()[0]}")
def test_all_that_is_said_of_it_is_expected(case: Case, beginner: Project, tmp_path: Path) -> None:
    try:
        said = case.plain(begin(case, beginner, tmp_path), beginner.root)
    finally:
        for folder in (case.published, "images"):
            shutil.rmtree(beginner.root / folder, ignore_errors=True)
    if os.environ.get("PREBAKE_GOLDEN") == "write":
        blocks = read_blocks(case.folder)
        blocks[case.number] = f"{case.text}{said}".rstrip("\n")
        (case.folder / "init.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    else:
        assert said == case.said
