"""docs/errors.md lists every error there is, under the code that it really ends with."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import prebake
from entrypoints.faults import Fault
from entrypoints.process import IMPATIENT
from prebake.errors import PrebakeError

Kind = TypeVar("Kind", bound=Exception)

PAGE = (Path(__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
TOOL, CONTAINER = PAGE.split("\n## The container\n")
ROW = re.compile(r"^\| (\d+) \| (?:`(\w+)`)? ?\| (.*\S) \| ?(.*?) ?\|$", re.MULTILINE)


def below(kind: type[Kind], package: str) -> Iterator[type[Kind]]:
    """Every subclass that the package defines: tests may have some of their own."""
    for each in kind.__subclasses__():
        if each.__module__.partition(".")[0] == package:
            yield each
        yield from below(each, package)


def errors() -> list[type[PrebakeError]]:
    for module in pkgutil.walk_packages(prebake.__path__, "prebake."):
        importlib.import_module(module.name)
    return [PrebakeError, *below(PrebakeError, "prebake")]


def faults() -> list[type[Fault]]:
    return list(below(Fault, "entrypoints"))


def listed(text: str) -> set[tuple[int, str]]:
    return {(int(code), name) for code, name, _, _ in ROW.findall(text) if name}


def test_a_code_is_a_class_own_or_its_parents() -> None:
    own: dict[int, str] = {}
    kinds: list[type[PrebakeError] | type[Fault]] = [*errors(), *faults()]
    for each in kinds:
        if each.exit_code == getattr(each.__base__, "exit_code", None):
            continue
        assert each.exit_code not in own, f"{each.__name__} and {own[each.exit_code]} both have {each.exit_code}"
        own[each.exit_code] = each.__name__
    assert not own.keys() & {0, 1, 2}, "these are Python's and argparse's"


def test_the_page_lists_every_error_of_the_tool_and_no_other() -> None:
    assert listed(TOOL) == {(each.exit_code, each.__name__) for each in errors()}


def test_the_page_lists_every_fault_of_the_container_and_no_other() -> None:
    assert listed(CONTAINER) == {(each.exit_code, each.__name__) for each in faults()}
    assert IMPATIENT in {int(code) for code, _, _, _ in ROW.findall(CONTAINER)}


def test_every_error_that_can_happen_says_what_to_do() -> None:
    abstract = {"PrebakeError", "InputProblems"}
    rows = ROW.findall(PAGE)
    assert len(rows) == len(re.findall(r"^\| \d", PAGE, re.MULTILINE)), "a row is not of the table's form"
    assert not [name for _, name, _, action in rows if name and name not in abstract and not action]
