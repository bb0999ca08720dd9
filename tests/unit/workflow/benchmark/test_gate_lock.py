"""Two gates of one model in one folder: the second one waits."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prebake.io.file_lock import hold_lock
from prebake.measure.gate.limits import Limits
from prebake.spec.image.gate import GateSpec
from prebake.workflow.benchmark import gate as module
from prebake.workflow.benchmark.gate import GateRequest, gate_image
from prebake.workflow.requests import BuildRequest
from tests.support.measure.gate_documents import make_document


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models of the gates that were measured. Nothing is started."""
    models: list[str] = []

    def measure(request: GateRequest, *_: object) -> dict[str, Any]:
        models.append(request.build.model)
        return make_document(model=request.build.model)

    monkeypatch.setattr(module, "read_spec", lambda *_: SimpleNamespace(gate=GateSpec()))
    monkeypatch.setattr(module, "find_engine", lambda: None)
    monkeypatch.setattr(module, "_measure", measure)
    return models


def test_a_gate_waits_for_another_gate_of_its_model_and_for_no_other(tmp_path: Path, measured: list[str]) -> None:
    waiting = threading.Event()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        waiting.set()

    request = GateRequest(BuildRequest(tmp_path, "toy"), None, Limits(max_ttfi=1.0))
    second = threading.Thread(target=gate_image, args=(request, tell))
    with hold_lock(tmp_path / "build" / "toy" / ".gate-lock"):
        second.start()
        assert waiting.wait(60)
        gate_image(GateRequest(BuildRequest(tmp_path, "foley"), None, Limits(max_ttfi=1.0)), tell)
        assert measured == ["foley"]
        assert not (tmp_path / "build" / "bench" / "toy-gate.json").exists()
    second.join()
    assert measured == ["foley", "toy"]
    assert lines == ["waiting for another process: a gate of toy runs in this folder"]
    assert sorted(path.name for path in (tmp_path / "build" / "bench").glob("toy*")) == [
        "toy-gate-action.json",
        "toy-gate.html",
        "toy-gate.json",
        "toy-gate.md",
    ]
