"""pytest enters every folder that holds tests, as it skips a name in ``norecursedirs`` at any depth; and imports them quickly."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from tests.support.repository import ROOT

OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
PROGRAMS = ("benchmarks", "gpu_check", "long")
"""Folders of programs that a person or a target of the Makefile starts."""
SLOW = ("cyclonedx", "jsonschema", "kubernetes_validate", "schemathesis", "tritonclient", "grpc_tools")
"""Each takes seconds to import by itself, in every process of a parallel run."""


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


def test_slow_packages_are_imported_where_they_are_used() -> None:
    slow = re.compile(rf"^(?:import|from) (?:{'|'.join(SLOW)})\b", re.MULTILINE)
    found = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py") if slow.search(path.read_text())]
    assert found == [Path("tests/support/schemas.py")]  # which imports what makes them slow at first use only
