"""What goes wrong before anything is served: the log says it in JSON, and the process ends with a code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.collection.sampled import sampled
from tests.support.container.running import Server, Start
from tests.support.repository import ROOT


def read_fault(server: Server) -> tuple[str, str]:
    """Of a log in which each line is JSON: the reason and the action."""
    faults = [event for event in map(json.loads, server.stderr.splitlines()) if event["event"] == "fault"]
    assert faults[0]["exit_code"] == 1
    assert faults[0]["level"] == "error"
    return faults[0]["reason"], faults[0].get("action", "")


@pytest.mark.parametrize(
    ("module", "content", "reason"),
    [
        (
            "h11",
            "raise RuntimeError('broken\\npackage')",
            "the server process cannot start: RuntimeError: broken\npackage",
        ),
        ("h11", "x = 1 / 0", "the server process cannot start: ZeroDivisionError"),
        ("asyncio", "raise SystemExit(0)", "the server process cannot start: SystemExit: 0"),
    ],
)
def test_a_package_that_cannot_be_imported(
    start: Start, tmp_path: Path, module: str, content: str, reason: str
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / f"{module}.py").write_text(content)
    server = start(PYTHONPATH=f"{tmp_path / 'shadow'}:{ROOT}")
    assert server.wait() == 1
    said, action = read_fault(server)
    assert said.startswith(reason)
    assert "traceback above" in action
    (exception,) = server.find_events("exception")
    assert f"shadow/{module}.py" in exception["traceback"] or module in exception["error"]


@pytest.mark.parametrize("files", sampled(range(5, 10), 5, 6, 8))
def test_too_few_open_files(start: Start, files: int) -> None:
    """The modules of the log cannot be opened either, if it is 6."""
    server = start(["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"])
    assert server.wait() == 1
    reason, action = read_fault(server)
    assert "Too many open files" in reason or reason == "OSError"
    assert not action or "ulimit -n" in action
