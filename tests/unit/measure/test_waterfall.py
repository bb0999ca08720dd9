"""The layout of a start: lanes, bars, ticks, critical path; and the phases that it is made of."""

from __future__ import annotations

import ast

import pytest

from prebake.measure.report.waterfall import (
    LIVE,
    SERVER_PHASES,
    UNAWAITED_PHASES,
    Waterfall,
    choose_ticks,
    format_tick,
    lay_out,
)
from prebake.measure.start import median_start
from tests.support.measure.start_phases import PHASES, START, phase
from tests.support.repository import ROOT


def names(start: Waterfall) -> list[str]:
    return [bar.name for bar in start.path]


def test_a_phase_lies_in_the_lane_of_its_process_and_counts_from_the_request() -> None:
    lanes = {lane.name: [bar.name for bar in lane.bars] for lane in START.lanes}
    assert lanes["Engine"] == ["container start"]
    assert lanes["server process"] == ["launch", "bind", "import asyncio", "import h11"]
    assert lanes["model process"][:3] == ["read ahead libraries", "manifest", "import numpy"]
    assert "bucket net: 8" not in lanes["model process"]
    (launch, *_) = START.lanes[1].bars
    assert (launch.begin, launch.end) == pytest.approx((0.1, 0.2))
    assert START.live == pytest.approx(0.32)


def test_the_critical_path_follows_from_begin_and_end() -> None:
    """``import asyncio`` ends just before ``import numpy``'s successors begin, but in another process."""
    assert names(START) == ["container start", "launch", "bind", "manifest", "import numpy", "import model", "warm-up"]
    marked = [bar.name for lane in START.lanes for bar in lane.bars if bar.critical]
    assert marked == names(START)
    slow = [each | {"seconds": 0.35} if each["name"] == "verify" else each for each in PHASES]
    assert names(lay_out(slow, 0.66, 0.1))[-2:] == ["import numpy", "verify"]


def test_a_phase_that_nothing_waits_for_is_not_on_the_path_though_it_ends_at_the_right_moment() -> None:
    late = [each | {"seconds": 0.012} if each["name"] == "read ahead libraries" else each for each in PHASES]
    assert names(lay_out(late, 0.61, 0.1)) == names(START)


def test_a_phase_that_still_runs_when_the_start_is_ready_ends_there_and_is_not_waited_for() -> None:
    (bar,) = (bar for lane in START.lanes for bar in lane.bars if bar.name == "verify what is not used")
    assert (bar.end, bar.ended, bar.critical) == (START.ready, False, False)


def test_of_several_models_each_process_has_a_lane_and_the_slowest_is_waited_for() -> None:
    phases = [
        phase("launch", 0.0, 0.1),
        phase("left: manifest", 0.1, 0.2),
        phase("right: manifest", 0.11, 0.2),
        phase("left: warm-up", 0.2, 0.5),
        phase("right: warm-up", 0.21, 0.3),
        phase("right: bucket net: 8", 0.3, 0.35),
    ]
    start = lay_out(phases, 0.5, 0.0, ["left", "right"])
    assert [lane.name for lane in start.lanes] == ["server process", "model process left", "model process right"]
    assert [bar.name for bar in start.lanes[2].bars] == ["manifest", "warm-up", "bucket net: 8"]
    assert names(start) == ["launch", "manifest", "warm-up"]
    assert not any(bar.critical for bar in start.lanes[2].bars)


def test_a_start_without_phases_has_none() -> None:
    assert lay_out([], 1.0, 0.0) == Waterfall((), (), 1.0)


@pytest.mark.parametrize(
    ("end", "most", "labels"),
    [
        (0.79, 9, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]),
        (0.79, 4, ["0.0", "0.5"]),
        (5.13, 8, ["0", "1", "2", "3", "4", "5"]),
        (1.0, 11, ["0.0", *(f"0.{n}" for n in range(1, 10)), "1.0"]),
        (238.0, 6, ["0", "50", "100", "150", "200"]),
        (0.004, 5, ["0.000", "0.001", "0.002", "0.003", "0.004"]),
        (0.0, 5, ["0"]),
    ],
)
def test_ticks_are_round_and_not_more_than_there_is_room_for(end: float, most: int, labels: list[str]) -> None:
    ticks = choose_ticks(end, most)
    assert [format_tick(tick, ticks) for tick in ticks] == labels
    assert len(ticks) <= most


def test_the_phases_that_nothing_waits_for_are_those_of_the_threads_that_preload_leaves_alone() -> None:
    """``run_in_thread(self._read_files, …)``: the phases in these functions of ``entrypoints/model/preload.py``."""
    tree = ast.parse((ROOT / "entrypoints" / "model" / "preload.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    started = {
        call.args[0].attr
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "run_in_thread"
        and isinstance(call.args[0], ast.Attribute)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in started]
    recorded = {
        call.args[0].value
        for function in functions
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "phase"
        if isinstance(call.args[0], ast.Constant)
    }
    assert len(functions) == len(started) == 3
    assert recorded == UNAWAITED_PHASES


def test_the_phases_of_the_server_process_are_those_that_its_code_records() -> None:
    """Literal names in ``entrypoints/serve.py`` and ``entrypoints/server``: of a phase, or of a module whose import is one."""
    files = [ROOT / "entrypoints" / "serve.py", *sorted((ROOT / "entrypoints" / "server").glob("*.py"))]
    recorded = set()
    for call in (
        node for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)
    ):
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method in ("phase", "end_phase", "importing"):
            assert isinstance(call.args[0], ast.Constant)
            recorded.add(("import " if method == "importing" else "") + str(call.args[0].value))
    assert recorded == SERVER_PHASES | {LIVE}


def test_the_report_has_the_start_with_the_median_time() -> None:
    readies = [
        (0.9, {"ready_seconds": 0.7, "phases": [phase("late", 0, 1)]}),
        (0.7, {"ready_seconds": 0.6, "phases": [phase("early", 0, 1)]}),
        (0.8, {"ready_seconds": 0.65, "phases": [], "models": {"a": {"phases": [phase("middle", 0, 1)]}}}),
    ]
    found = median_start(readies)
    assert found["start"] == pytest.approx({"ready_seconds": 0.8, "container_seconds": 0.15})
    assert [each["name"] for each in found["phases"]] == ["a: middle"]
    assert median_start(readies[:2])["start"]["ready_seconds"] == 0.7
    assert median_start([(1.0, {})]) == {"start": {"ready_seconds": 1.0, "container_seconds": 0.0}, "phases": []}
