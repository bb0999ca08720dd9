"""Tests that ``make test`` leaves to ``make test-all``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

slow = pytest.mark.slow
"""The test takes many CPU seconds, and a test of ``make test`` runs the same code with another example."""


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
    """Parameters, of which ``make test`` runs ``always`` alone; ``make test-all`` runs them all."""
    listed = list(cases)
    missing = [case for case in always if case not in listed]
    assert not missing, f"no such cases: {missing}"
    return [case if case in always else pytest.param(case, marks=slow) for case in listed]
