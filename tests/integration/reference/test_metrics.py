"""docs/reference/metrics.md has every metric of the server, and says what each label means."""

from __future__ import annotations

import inspect
import re

from entrypoints.server import metrics
from tools.reference.metrics import LABELS, read_families


def test_every_metric_that_the_code_names_is_listed() -> None:
    named = set(re.findall(r'"((?:prebake|process)_\w+)"', inspect.getsource(metrics)))
    assert set(read_families()) == named


def test_every_label_that_the_code_sets_is_described() -> None:
    families = read_families()
    assert {label for each in families.values() for label in each.labels} == set(LABELS)
    source = inspect.getsource(metrics)
    keywords = {name for call in re.findall(r"\blabel\(([^()]*)", source) for name in re.findall(r"(\w+)=", call)}
    assert keywords <= set(LABELS)


def test_every_metric_has_a_type_and_a_help_text() -> None:
    assert all(
        each.kind in ("gauge", "counter", "histogram") and each.help.endswith(".") for each in read_families().values()
    )
