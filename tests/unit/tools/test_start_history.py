"""The weekly table and the history with charts."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.start_history.__main__ import main
from tools.start_history.history import HistoryInvalid, Run, read_history
from tools.start_history.page import draw_chart

FIGURES = {
    "ttfi_seconds": 0.59,
    "ready_seconds": 0.47,
    "naive_ttfi_seconds": 3.6,
    "floor_seconds": 0.33,
    "ratio": 6.1,
}


def measure(folder: Path, name: str, **figures: object) -> None:
    path = folder / f"cold-start-{name}" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**FIGURES, "runs": [], **figures}))


def test_each_run_is_added_and_compared_with_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, history = tmp_path / "results", tmp_path / "history"
    measure(results, "foley")
    assert main([str(results), str(history)]) == 0
    assert "| `foley` | 0.59 |  | 0.47 | 0.33 | 3.60 | 6.10 |" in capsys.readouterr().out
    measure(results, "foley", ttfi_seconds=0.7)
    measure(results, "minilm")
    assert main([str(results), str(history)]) == 0
    table = capsys.readouterr().out
    assert "| `foley` | 0.70 | 0.59 |" in table
    assert "| `minilm` | 0.59 |  |" in table
    runs = read_history(history / "history.json")
    assert [run.images["foley"]["ttfi_seconds"] for run in runs] == [0.59, 0.7]
    page = (history / "index.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert "src=" not in page


def test_a_gates_result_is_no_result_of_the_weekly_run(tmp_path: Path) -> None:
    (tmp_path / "toy-gate.json").write_text('{"verdict": "pass"}')
    assert main([str(tmp_path), str(tmp_path / "history")]) == 1
    assert not (tmp_path / "history").exists()


def test_a_history_of_another_schema_is_not_overwritten(tmp_path: Path) -> None:
    measure(tmp_path / "results", "foley")
    (tmp_path / "history.json").write_text('{"schema": 2, "runs": []}')
    with pytest.raises(HistoryInvalid, match="has schema 2"):
        main([str(tmp_path / "results"), str(tmp_path)])
    assert json.loads((tmp_path / "history.json").read_text())["schema"] == 2


def test_a_chart_goes_from_left_to_right_and_larger_is_higher() -> None:
    runs = [Run(f"2026-0{n}-01T00:00:00Z", "<&", {"a": {"ttfi_seconds": float(n)}}) for n in (1, 2, 3)]
    svg = ElementTree.fromstring(draw_chart("a", runs))
    points = [(float(each.get("cx", 0)), float(each.get("cy", 0))) for each in svg.iter("circle")]
    assert points == sorted(points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
