"""docs/environment.md lists every environment variable that the tool reads, docs/startup.md every one of the container."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|CXX|NETRC")
NO_VARIABLES = {
    "BLOB_UNKNOWN": "an error code of registries",
    "DEBIAN_FRONTEND": "given to apt and dpkg",
    "GIT_DIR": "kept from git",
    "GIT_INDEX_FILE": "kept from git",
    "GIT_PREFIX": "kept from git",
    "GIT_WORK_TREE": "kept from git",
    "LC_ALL": "given to apt and dpkg",
    "MANIFEST_BLOB_UNKNOWN": "an error code of registries",
    "OPENBLAS_THREAD_TIMEOUT": "given to OpenBLAS",
    "ORT_DISABLE_TELEMETRY": "given to the stages",
    "TORCHINDUCTOR_CACHE_DIR": "given to torch",
    "USER_INPUT": "a kind of input of torch.export",
    "VERSION_CODENAME": "a field of os-release",
}
"""Names that stand beside ``os.environ`` and are not read from it, with what they are."""


def names_beside_environ(folder: str) -> Iterator[str]:
    """Every string in the form of a variable, in each module that uses ``environ``."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\benviron\b", text):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                    yield node.value


def listed(page: str) -> set[str]:
    """The variables in the first column of a page's tables."""
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize(("folder", "page"), [("prebake", "environment.md"), ("entrypoints", "startup.md")])
def test_every_variable_that_is_read_is_on_the_page(folder: str, page: str) -> None:
    missing = set(names_beside_environ(folder)) - set(NO_VARIABLES) - listed(page)
    assert not missing, f"docs/{page} does not list {', '.join(sorted(missing))}"


def test_every_variable_on_the_page_is_read() -> None:
    unread = listed("environment.md") - set(names_beside_environ("prebake"))
    assert not unread, f"nothing reads {', '.join(sorted(unread))}"


def test_what_is_excused_is_there() -> None:
    assert set(NO_VARIABLES) <= {*names_beside_environ("prebake"), *names_beside_environ("entrypoints")}
