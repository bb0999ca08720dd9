"""Which report a target and a checkpoint have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prebake.io.log import silent
from prebake.measure.report import report_files

LAYER = {"name": "weights", "kind": "weights", "size": 3, "diff_id": "sha256:1", "inputs": {"code": "1"}}
REPORT: dict[str, Any] = {
    "schema": report_files.SCHEMA,
    "image": "toy:cpu",
    "digest": "sha256:2",
    "target": "cpu",
    "checkpoint": "small",
    "layers": [LAYER],
    "outputs": {"archive": {"name": "toy.tar"}},
}


def test_of_two_reports_the_one_that_was_written_last_is_taken(tmp_path: Path) -> None:
    """Such as that of a build in CI, put where the latest lies."""
    own, latest = report_files.report_path(tmp_path, "toy", "cpu", "small"), report_files.latest_path(tmp_path, "toy")
    document = {**REPORT, "target": "cpu", "checkpoint": "small"}
    for first, second in ((own, latest), (latest, own)):
        for path, seconds, name in ((first, 1000, "earlier"), (second, 2000, "later")):
            report_files.write_document(path, {**document, "image": name})
            os.utime(path, (seconds, seconds))
        found = report_files.find_report(tmp_path, "toy", "cpu", "small", silent)
        assert found is not None
        assert found["image"] == "later"
    report_files.write_document(latest, {**document, "checkpoint": "large", "image": "another"})
    assert report_files.list_reports(tmp_path, "toy") == [("cpu", "large"), ("cpu", "small")]
    found = report_files.find_report(tmp_path, "toy", "cpu", "small", silent)
    assert found is not None
    assert found["image"] == "later"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"schema": 3}', "cannot be used and is ignored: image: is missing; digest: is missing"),
        ("[" * 100_000, "cannot be read and is ignored"),
        ("{", "cannot be read and is ignored"),
        ("\ud800", "cannot be read and is ignored"),
        ("[3]", "is not a report of schema 3"),
        ('{"schema": "3"}', "is not a report of schema 3"),
        (json.dumps({**REPORT, "target": []}), "target: should be a string, is a list"),
        (json.dumps({**REPORT, "layers": [{**LAYER, "size": "x"}, 3]}), "layers[0].size: should be a whole number"),
        (json.dumps({**REPORT, "layers": [{**LAYER, "inputs": []}]}), "layers[0].inputs: should be an object"),
        (json.dumps({**REPORT, "outputs": {"a": None}}), "outputs.a: should be an object"),
        (json.dumps({**REPORT, "pushed": {"a": 3}, "volume": {}}), "pushed.a: should be a string"),
        (json.dumps({**REPORT, "ready_seconds": float("inf")}), "ready_seconds: should be a number"),
    ],
)
def test_a_report_that_cannot_be_used_is_named_and_counts_for_none(tmp_path: Path, text: str, why: str) -> None:
    path, lines = report_files.latest_path(tmp_path, "toy"), list[str]()
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert report_files.find_report(tmp_path, "toy", "cpu", "small", lines.append) is None
    assert report_files.list_reports(tmp_path, "toy") == []
    assert lines[0].startswith(str(path))
    assert why in lines[0]
