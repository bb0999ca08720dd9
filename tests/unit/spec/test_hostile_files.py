"""Large texts that image.yaml and weights.lock may be: reading ends with a problem that names the file.

``test_refused.py`` has the small ones.
"""

from __future__ import annotations

import pytest

from prebake.errors import LockMismatch, SpecInvalid
from prebake.spec.lock import parse_lock
from prebake.spec.reader import parse_image
from prebake.spec.upgrade.upgraded_file import upgrade_image, upgrade_lock

ALIASES = "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
IMAGE_TEXTS = [
    ("{a: " * 3000 + "1" + "}" * 3000, "x.yaml:1: is nested too deeply"),
    ("a: " + "[" * 99 + "]" * 99, "is nested too deeply: more than 60 levels"),
    (ALIASES, "has more than 100000 values"),
    ("a: " + "9" * 5000, "x.yaml:1: cannot be read"),
]
LOCK_TEXTS = [
    ('{"a": ' * 100_000, "is nested too deeply"),
    ('{"schema": 2, "x": ' + "[" * 99 + "]" * 99 + "}", "is nested too deeply: more than 60 levels"),
]


@pytest.mark.parametrize(("text", "problem"), IMAGE_TEXTS)
def test_an_image_yaml_that_cannot_be_read_is_a_problem(text: str, problem: str) -> None:
    with pytest.raises(SpecInvalid) as invalid:
        parse_image(text, "x.yaml")
    assert problem in str(invalid.value)
    file, problems = upgrade_image(text, "x.yaml")
    assert file is None
    assert problem in "\n".join(map(str, problems))


@pytest.mark.parametrize(("text", "problem"), LOCK_TEXTS)
def test_a_lock_that_cannot_be_read_is_a_problem(text: str, problem: str) -> None:
    with pytest.raises(LockMismatch) as invalid:
        parse_lock(text, "images/a/weights.lock")
    assert all(str(found).startswith("images/a/weights.lock") for found in invalid.value.problems)
    assert problem in str(invalid.value)


@pytest.mark.parametrize("text", [text.replace('"schema": 2', '"schema": 1') for text, _ in LOCK_TEXTS])
def test_an_earlier_lock_that_cannot_be_read_is_a_problem(text: str) -> None:
    file, problems = upgrade_lock(text, "x.lock")
    assert file is None
    assert problems
