"""``prebake trace`` with files: its outputs, and each error with its own message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prebake.cli import main
from prebake.errors import PathRefused
from prebake.measure.trace.start_documents import StartUnreadable
from tests.support.measure.gate_documents import make_document

STARTUP: dict[str, Any] = {
    "state": "ready",
    "ready_seconds": 0.2,
    "phases": [{"name": "launch", "start": 0.0, "seconds": 0.1}, {"name": "warm-up", "start": 0.1, "seconds": 0.1}],
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "startup.json"
    path.write_text(json.dumps(STARTUP))
    return str(path)


def test_the_trace_goes_to_stdout_or_into_a_file(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", source]) == 0
    printed = capsys.readouterr()
    assert [event["name"] for event in json.loads(printed.out)["traceEvents"] if event["ph"] == "X"] == [
        "launch",
        "warm-up",
    ]
    assert printed.err == ""
    target = tmp_path / "new" / "trace.json"
    assert main(["trace", source, "--output", str(target)]) == 0
    written = capsys.readouterr()
    assert target.read_text(encoding="utf-8") == printed.out
    assert written.out == ""
    assert f"{target}: 2 phases" in written.err


def test_a_gate_s_result_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "foley-gate.json"
    path.write_text(json.dumps(make_document()))
    assert main(["trace", str(path)]) == 0
    names = [
        event["args"]["name"]
        for event in json.loads(capsys.readouterr().out)["traceEvents"]
        if event["ph"] == "M" and "name" in event["args"]
    ]
    assert "baseline: model process" in names


def test_a_device_is_written_to_and_not_replaced(source: str) -> None:
    assert main(["trace", source, "--output", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/proc/x", "No such file or directory"),
        ("/proc/x/y.json", "No such file or directory"),
        ("{tmp}", "Is a directory"),
        ("{tmp}/startup.json/trace.json", "Not a directory|File exists"),
        ("{tmp}/" + "x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    source: str, tmp_path: Path, target: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = target.replace("{tmp}", str(tmp_path))
    assert main(["trace", source, "--output", target]) == PathRefused.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {target} cannot be written: ")
    assert any(each in error for each in why.split("|")), error
    assert "next: name a file" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["startup.json"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no JSON document"),
        (b"{", "is no JSON document"),
        (b"\xff\xfe\xfa", "is no JSON document"),
        (b"[" * 100_000, "is no JSON document"),
        (b"{}", "has no start. The keys that were looked for:"),
        (b"3", "is a number, no object"),
    ],
)
def test_a_file_without_a_start_is_refused(
    tmp_path: Path, data: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(data)
    assert main(["trace", str(path), "--output", str(tmp_path / "trace.json")]) == StartUnreadable.exit_code
    assert f"error: {path} {said}" in capsys.readouterr().err
    assert not (tmp_path / "trace.json").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.json", "nothing.json cannot be read: No such file or directory"),
        (".", ". cannot be read: Is a directory"),
        ("localhost:8000", "a URL with http://"),
        ("a\0b", "is no path"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(source: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", source]) == StartUnreadable.exit_code
    assert said in capsys.readouterr().err
