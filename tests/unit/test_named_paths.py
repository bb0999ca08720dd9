"""Documents, docstrings and comments name files and modules of this project: each of them is there."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.repository import ROOT

FILE = re.compile(
    r"(?<![\w./-])(?:prebake|entrypoints|templates|tools|tests|docs)/[\w./-]+\.(?:py|md|j2|sh|json|svg)\b"
)
MODULE = re.compile(r"(?<![\w./-])((?:prebake|entrypoints)(?:\.[a-z][a-z_0-9]*)+)(?![\w/])")
SKIPPED = {
    "CHANGELOG.md",
    "tests/unit/test_named_paths.py",
    "tests/unit/test_import_rules.py",
    "tests/unit/cleanup/test_what_stays.py",
}
"""A history, this file, and a test that makes packages with files of such names."""

ATTRIBUTES = {"prebake.exit_code", "prebake.request_id", "prebake.state"}
"""Attributes of spans, which have the form of a module's name."""


def named_files() -> list[str]:
    tracked = subprocess.check_output(["git", "ls-files", "*.md", "*.py", "*.j2", "Makefile"], cwd=ROOT, text=True)
    return [name for name in tracked.splitlines() if name not in SKIPPED and (ROOT / name).is_file()]


def is_module(name: str) -> bool:
    """Whether a dotted name is a module, a package, or a name in one of them."""
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def exists(name: str) -> bool:
    parent, _, last = name.rpartition(".")
    if is_module(name):
        return True
    module = (ROOT / parent.replace(".", "/")).with_suffix(".py")
    package = ROOT / parent.replace(".", "/") / "__init__.py"
    places = [path.read_text(encoding="utf-8") for path in (module, package) if path.is_file()]
    return any(re.search(rf"\b{last}\b", text) for text in places)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git tells which files are the project's")
def test_every_file_and_module_that_is_named_is_there() -> None:
    missing = []
    for name in named_files():
        text = (ROOT / name).read_text(encoding="utf-8")
        missing += [f"{name}: {path}" for path in set(FILE.findall(text)) if not (ROOT / path).exists()]
        missing += [f"{name}: {module}" for module in set(MODULE.findall(text)) - ATTRIBUTES if not exists(module)]
    assert not sorted(missing), "\n".join(sorted(missing))
