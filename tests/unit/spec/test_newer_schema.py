"""A file of a schema above the newest known says that it is written for a newer Prebake, and which numbers those are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import prebake
from prebake.bake.artifact_file import ArtifactFile
from prebake.bake.errors import BakeError, SettingsInvalid
from prebake.bake.exported import Exported
from prebake.bake.join_settings import JoinSettings
from prebake.bake.settings import Settings
from prebake.errors import LockMismatch, SpecInvalid, newer_schema
from prebake.measure import report
from prebake.oci.records import FileRecord, Records
from prebake.spec.lock import parse_lock
from prebake.spec.reading import parse_image

ROOT = Path(__file__).parents[3]
KNOWN = f"this one ({prebake.__version__}) reads up to"
SAID = rf"is written for a newer Prebake: schema 7; this one \({prebake.__version__}\) reads up to 1"


def test_image_yaml_is_told_alone_without_the_keys_that_this_version_does_not_know() -> None:
    text = (ROOT / "images/foley/image.yaml").read_text().replace("schema: 1", "schema: 7\nnew_field: {}", 1)
    with pytest.raises(SpecInvalid, match=SAID) as refused:
        parse_image(text, "images/foley/image.yaml")
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].where.startswith("images/foley/image.yaml:")
    assert refused.value.next_action == "update Prebake"


@pytest.mark.parametrize("schema", ["0", "-1", "1.5", "'7'", "null", "true"])
def test_image_yaml_of_another_fault_is_no_newer_one(schema: str) -> None:
    text = (ROOT / "images/foley/image.yaml").read_text().replace("schema: 1", f"schema: {schema}", 1)
    with pytest.raises(SpecInvalid) as refused:
        parse_image(text, "images/foley/image.yaml")
    assert "newer" not in refused.value.message


def test_weights_lock() -> None:
    document = json.loads((ROOT / "images/foley/weights.lock").read_text())
    with pytest.raises(LockMismatch, match="has schema True"):
        parse_lock(json.dumps({**document, "schema": True}), "images/foley/weights.lock")
    with pytest.raises(LockMismatch, match=SAID) as refused:
        parse_lock(json.dumps({**document, "schema": 7}), "images/foley/weights.lock")
    assert "update Prebake" in refused.value.message


def test_settings_of_the_stages(tmp_path: Path) -> None:
    text = json.dumps({"schema": 7}).encode()
    for read in (Settings.from_json, JoinSettings.from_json):
        with pytest.raises(SettingsInvalid, match=SAID):
            read(text)
    with pytest.raises(ValueError, match=SAID):
        ArtifactFile.from_json(text)
    (tmp_path / "exported.json").write_bytes(text)
    with pytest.raises(BakeError, match=SAID):
        Exported.load(tmp_path)


def test_a_record_of_the_store_is_told_and_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, key = Records(tmp_path), "a" * 64
    records.put_files(key, (FileRecord("x", "b" * 64, 1),))
    (path,) = tmp_path.glob("records/*/*.json")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))
    assert records.files(key) is None
    assert records.files(key) is None
    (line,) = capsys.readouterr().err.splitlines()  # once
    assert f"{path} is written for a newer Prebake: schema 7" in line
    assert "made again" in line


def test_a_report_is_told_and_not_compared_with(tmp_path: Path) -> None:
    path, said = report.report_path(tmp_path, "toy", "cpu", "small"), list[str]()
    document: dict[str, Any] = {"schema": report.SCHEMA, "target": "cpu", "checkpoint": "small"}
    report.write_document(path, document)
    assert report.find_report(tmp_path, "toy", "cpu", "small", said.append) == document
    report.write_document(path, {**document, "schema": 7})
    assert report.find_report(tmp_path, "toy", "cpu", "small", said.append) is None
    assert said == [f"{path} is written for a newer Prebake: schema 7; {KNOWN} {report.SCHEMA}"]


@pytest.mark.parametrize("found", [None, "7", True, 1, 0, 7.0])
def test_what_is_no_number_above_the_known_is_not_newer(found: object) -> None:
    assert newer_schema(found, 1) == ""
