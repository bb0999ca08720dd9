"""docs/reference/exit-codes.md says of every error what to do, and no two errors have one code by accident."""

from __future__ import annotations

import re

from entrypoints.errors import Fault
from prebake.errors import PrebakeError
from tools.reference.exit_codes import (
    ACTIONS,
    BASE_CLASSES,
    MORE,
    PASSED_ON,
    STAGE_ERRORS,
    find_errors,
    find_faults,
    write_page,
)
from tools.reference.markdown import first_paragraph

ROW = re.compile(r"^\| (\d+) \| (?:`(\w+)`)? ?\| (.*\S) \| ?(.*?) ?\|$", re.MULTILINE)


def test_a_code_is_a_class_own_or_its_parents() -> None:
    own: dict[int, str] = {}
    kinds: list[type[PrebakeError] | type[Fault]] = [*find_errors(), *find_faults()]
    for each in kinds:
        if each.exit_code == getattr(each.__base__, "exit_code", None):
            continue
        assert each.exit_code not in own, f"{each.__name__} and {own[each.exit_code]} both have {each.exit_code}"
        own[each.exit_code] = each.__name__
    assert not own.keys() & {0, 1, 2}, "these are Python's and argparse's"


def test_every_error_has_a_row_under_its_code() -> None:
    kinds: list[type[PrebakeError] | type[Fault]] = [*find_errors(), *find_faults()]
    rows = {(int(code), name) for code, name, _, _ in ROW.findall(write_page()) if name}
    assert rows == {(each.exit_code, each.__name__) for each in kinds if each.__name__ not in PASSED_ON}


def test_every_class_says_in_its_own_docstring_when_it_happens() -> None:
    kinds: list[type[Exception]] = [*find_errors(), *find_faults()]
    assert not [each.__name__ for each in kinds if not each.__doc__]
    assert not [each.__name__ for each in kinds if not first_paragraph(each).endswith(".")]


def test_every_error_that_can_happen_says_what_to_do() -> None:
    names = {each.__name__ for each in find_errors()}
    assert set(ACTIONS) == names - {*BASE_CLASSES, *PASSED_ON}, "tools/reference/exit_codes.py: ACTIONS"
    assert set(STAGE_ERRORS) <= names
    assert set(MORE) <= {each.__name__ for each in find_faults()}
