"""The files of a gate's result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prebake.measure.gate_report.files import write_gate_files
from prebake.measure.gate_report.html import format_html
from prebake.measure.gate_report.markdown import format_markdown
from prebake.measure.gate_report.schema import json_schema
from tests.support.measure.gate_documents import make_document
from tests.support.schemas import Draft202012Validator

NAMES = ["foley-gate.json", "foley-gate.html", "foley-gate.md", "foley-gate-action.json"]


def test_four_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    document = make_document()
    folder = tmp_path / "build" / "bench"
    assert write_gate_files(folder, "foley", document) == tuple(folder / name for name in NAMES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    read = json.loads((folder / NAMES[0]).read_text(encoding="utf-8"))
    assert read == document
    assert Draft202012Validator(json_schema()).is_valid(read)
    assert (folder / NAMES[1]).read_text(encoding="utf-8") == format_html(document)
    assert (folder / NAMES[2]).read_text(encoding="utf-8") == format_markdown(document)
    assert json.loads((folder / NAMES[3]).read_text(encoding="utf-8"))[0]["name"] == "foley: first answer (TTFI)"


def test_a_document_that_json_lacks_numbers_for_replaces_no_file(tmp_path: Path) -> None:
    write_gate_files(tmp_path, "foley", make_document())
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    with pytest.raises(ValueError, match="JSON"):
        write_gate_files(tmp_path, "foley", make_document(spread=float("nan")))
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before
