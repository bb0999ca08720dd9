"""A file of a schema above the newest known says that it was written for a newer Prebake, and which numbers those are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import prebake
from prebake.bake.errors import BakeError
from prebake.bake.model_folder.export_folder import Exported
from prebake.documents.artifact import ArtifactFile
from prebake.documents.join_settings import JoinSettings
from prebake.documents.schema_version import describe_mismatch
from prebake.documents.settings import StageSettings
from prebake.errors import LockMismatch, SettingsInvalid, newer_schema
from prebake.measure.report import report_files
from prebake.oci.records import layer_records
from prebake.oci.records.layer_records import FileRecord, Records
from prebake.spec.lock import parse_lock
from tests.support.repository import ROOT

KNOWN = f"this version ({prebake.__version__}) reads up to"
SAID = rf"was written for a newer Prebake: schema 7; this version \({prebake.__version__}\) reads up to [12]"


def test_weights_lock() -> None:
    document = json.loads((ROOT / "images/foley/weights.lock").read_text())
    with pytest.raises(LockMismatch, match="has schema True"):
        parse_lock(json.dumps({**document, "schema": True}), "images/foley/weights.lock")
    with pytest.raises(LockMismatch, match=SAID) as refused:
        parse_lock(json.dumps({**document, "schema": 7}), "images/foley/weights.lock")
    assert "update Prebake" in refused.value.message


def test_settings_of_the_stages(tmp_path: Path) -> None:
    text = json.dumps({"schema": 7}).encode()
    for read in (StageSettings.from_json, JoinSettings.from_json):
        with pytest.raises(SettingsInvalid, match=SAID):
            read(text)
    with pytest.raises(ValueError, match=SAID.replace("up to 1", "up to 2")):
        ArtifactFile.from_json(text)
    (tmp_path / "exported.json").write_bytes(text)
    with pytest.raises(BakeError, match=SAID):
        Exported.load(tmp_path)


def test_a_record_of_the_store_is_told_and_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, key = Records(tmp_path), "a" * 64
    records.put_files(key, (FileRecord("x", "b" * 64, 1),))
    (path,) = tmp_path.glob("records/*/*.json")
    path.write_text(path.read_text().replace(f'"schema": {layer_records.SCHEMA}', '"schema": 7'))
    assert records.files(key) is None
    assert records.files(key) is None
    (line,) = capsys.readouterr().err.splitlines()  # once
    assert f"{path} was written for a newer Prebake: schema 7" in line
    assert "built again" in line


def test_a_record_of_an_older_schema_is_not_taken(tmp_path: Path) -> None:
    records, key = Records(tmp_path), "a" * 64
    records.put_files(key, (FileRecord("x", "b" * 64, 1),))
    (path,) = tmp_path.glob("records/*/*.json")
    older = f'"schema": {layer_records.SCHEMA - 1}'
    path.write_text(path.read_text().replace(f'"schema": {layer_records.SCHEMA}', older))
    assert records.files(key) is None
    assert records.layers(key) is None


def test_a_report_is_told_and_not_compared_with(tmp_path: Path) -> None:
    path, said = report_files.report_path(tmp_path, "toy", "cpu", "small"), list[str]()
    fields = {"image": "toy:cpu", "digest": "sha256:2", "layers": [], "outputs": {}}
    document: dict[str, Any] = {"schema": report_files.SCHEMA, "target": "cpu", "checkpoint": "small", **fields}
    report_files.write_document(path, document)
    assert report_files.find_report(tmp_path, "toy", "cpu", "small", said.append) == document
    report_files.write_document(path, {**document, "schema": 7})
    assert report_files.find_report(tmp_path, "toy", "cpu", "small", said.append) is None
    assert said == [f"{path} was written for a newer Prebake: schema 7; {KNOWN} {report_files.SCHEMA}"]


@pytest.mark.parametrize("found", [None, "7", True, 1, 0, 7.0])
def test_what_is_no_number_above_the_known_is_not_newer(found: object) -> None:
    assert newer_schema(found, 1) == ""


def test_an_artifact_of_an_older_prebake_says_what_makes_it_again() -> None:
    version = rf"this version \({prebake.__version__}\) reads 2"
    older = rf"was written by an older Prebake: schema 1; {version}: run `prebake compile` again"
    with pytest.raises(ValueError, match=older):
        ArtifactFile.from_json(b'{"schema": 1}')


@pytest.mark.parametrize("found", [None, "2", True, 2.5])
def test_what_is_no_schema_version_is_neither_older_nor_newer(found: object) -> None:
    assert describe_mismatch(found, 2, "build it again").startswith("has no schema version")


def test_the_known_schema_version_is_no_mismatch() -> None:
    assert describe_mismatch(2, 2, "build it again") == ""
