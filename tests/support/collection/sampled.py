"""The mark of slow tests, which ``make test-all`` runs and ``make test`` leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

slow = pytest.mark.slow
"""Marks a test that takes many CPU seconds, if a test without this mark runs the same code on another example."""


def leave_out_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow tests. A test that is named on the command line (``FILE::TEST``) runs all the same."""
    named = [word.split("::", 1)[1] for word in config.args if "::" in word]
    left_out = [
        item
        for item in items
        if item.get_closest_marker("slow")
        and not any(item.nodeid.partition("::")[2].startswith(name) for name in named)
    ]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def sampled(cases: Iterable[Any], *always: object) -> list[Any]:
    """``cases`` as parameters of a test. Those that are not in ``always`` are slow."""
    listed = list(cases)
    missing = [case for case in always if case not in listed]
    assert not missing, f"no such cases: {missing}"
    return [case if case in always else pytest.param(case, marks=slow) for case in listed]
