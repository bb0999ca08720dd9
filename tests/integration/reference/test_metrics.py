"""docs/reference/metrics.md has every metric of the server, and says what each label means."""

from __future__ import annotations

import re

from tests.support.repository import ROOT
from tools.reference.metrics import LABELS, read_metrics

SOURCES = sorted((ROOT / "entrypoints/server/metrics").glob("*.py"))


def test_every_metric_that_the_code_names_is_listed() -> None:
    named = {name for path in SOURCES for name in re.findall(r'"((?:prebake|process)_\w+)"', path.read_text("utf-8"))}
    assert len(named) > 20
    assert set(read_metrics()) == named


def test_every_label_that_the_code_sets_is_described() -> None:
    assert {label for each in read_metrics().values() for label in each.labels} == set(LABELS)


def test_every_metric_has_a_type_and_a_help_text() -> None:
    assert all(
        each.kind in ("gauge", "counter", "histogram") and each.help.endswith(".") for each in read_metrics().values()
    )
