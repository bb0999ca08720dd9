"""Which report a target and a checkpoint have."""

from __future__ import annotations

import os
from pathlib import Path

from prebake.measure import report
from prebake.process import silent


def test_of_two_reports_the_one_that_was_written_last_is_taken(tmp_path: Path) -> None:
    """Such as that of a build in CI, put where the latest lies."""
    own, latest = report.report_path(tmp_path, "toy", "cpu", "small"), report.latest_path(tmp_path, "toy")
    document = {"schema": report.SCHEMA, "target": "cpu", "checkpoint": "small"}
    for first, second in ((own, latest), (latest, own)):
        for path, seconds, name in ((first, 1000, "earlier"), (second, 2000, "later")):
            report.write_document(path, {**document, "image": name})
            os.utime(path, (seconds, seconds))
        found = report.find_report(tmp_path, "toy", "cpu", "small", silent)
        assert found is not None
        assert found["image"] == "later"
    report.write_document(latest, {**document, "checkpoint": "large", "image": "another"})
    assert report.list_reports(tmp_path, "toy") == [("cpu", "large"), ("cpu", "small")]
    found = report.find_report(tmp_path, "toy", "cpu", "small", silent)
    assert found is not None
    assert found["image"] == "later"
