"""pytest enters every folder that holds tests: a folder of a name in ``norecursedirs`` is skipped at any depth."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch

from tests.support.repository import ROOT

OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
PROGRAMS = ("benchmarks", "gpu_check", "long")
"""Folders of programs that a person or a target of the Makefile starts."""


def test_no_folder_with_tests_is_skipped() -> None:
    skipped = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if any(fnmatch(part, name) for part in path.relative_to(ROOT).parts for name in OPTIONS["norecursedirs"])
    ]
    assert skipped == []


def test_programs_that_measure_are_no_tests() -> None:
    assert [path for folder in PROGRAMS for path in (ROOT / "tests" / folder).rglob("test_*.py")] == []
    assert all(any((ROOT / "tests" / folder).glob("*.py")) for folder in PROGRAMS)
