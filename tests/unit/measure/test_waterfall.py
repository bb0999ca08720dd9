"""The layout of a start: lanes, bars, critical path; and what the terminal and the picture draw of it."""

from __future__ import annotations

import ast
import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prebake.io.terminal import Screen
from prebake.measure.report.start_picture import draw_start
from prebake.measure.report.waterfall import (
    LIVE,
    SERVER_PHASES,
    UNAWAITED_PHASES,
    Waterfall,
    choose_ticks,
    format_tick,
    lay_out,
    lay_out_report,
)
from prebake.measure.report.waterfall_text import draw_waterfall
from prebake.measure.start import median_start

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def phase(name: str, start: float, end: float | None) -> dict[str, Any]:
    return {"name": name, "start": start, "seconds": None if end is None else round(end - start, 4)}


PHASES = [
    phase("launch", 0.0, 0.1),
    phase("live", 0.0, 0.22),
    phase("bind", 0.1, 0.1011),
    phase("import asyncio", 0.105, 0.2),
    phase("read ahead libraries", 0.107, 0.112),
    phase("manifest", 0.11, 0.115),
    phase("import numpy", 0.12, 0.2),
    phase("import uvicorn", 0.2, 0.205),
    phase("verify", 0.2, 0.26),
    phase("import model", 0.2, 0.3),
    phase("open net", 0.21, 0.29),
    phase("warm-up", 0.2999, 0.5),  # rounded: it begins after the import
    phase("verify what is not used", 0.45, None),
    phase("bucket net: 8", 0.7, 0.8),  # after ready
]
START = lay_out(PHASES, 0.61, 0.1)


def names(start: Waterfall) -> list[str]:
    return [bar.name for bar in start.path]


def test_a_phase_lies_in_the_lane_of_its_process_and_counts_from_the_request() -> None:
    lanes = {lane.name: [bar.name for bar in lane.bars] for lane in START.lanes}
    assert lanes["Engine"] == ["container start"]
    assert lanes["server process"] == ["launch", "bind", "import asyncio", "import uvicorn"]
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
    assert len(draw_waterfall(lay_out([], 0.0, 0.0), Screen())) == 2


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


GOLDEN = """\
## critical path (ready waited for these phases)   == at the same time
                         seconds  0.0            0.2            0.4
Engine
  container start          0.100  ########
server process: live after 0.32 s
  launch                   0.100          #######
  bind                     0.001                 #
  import asyncio           0.095                 ========
  import uvicorn           0.005                         =
model process
  read ahead libraries     0.005                  =
  manifest                 0.005                  #
  import numpy             0.080                   ######
  verify                   0.060                         ====
  import model             0.100                         #######
  open net                 0.080                         ======
  warm-up                  0.200                                ###############
  verify what is not used >0.060                                           =====
"""


def test_the_terminal_shows_one_line_for_each_phase() -> None:
    assert "\n".join(draw_waterfall(START, Screen(80))) + "\n" == GOLDEN


@pytest.mark.parametrize("columns", [80, 81, 100, 140, 300])
def test_no_line_is_longer_than_the_screen_and_a_long_name_is_shortened(columns: int) -> None:
    name = "open a component of a name that is much too long"
    lines = draw_waterfall(lay_out([*PHASES, phase(name, 0.1, 0.5)], 0.61, 0.1), Screen(columns))
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("  open a compone.. much too long ") for line in lines)


def test_characters_and_colours_are_those_that_the_screen_has() -> None:
    blocks, plain = draw_waterfall(START, Screen(120, blocks=True)), draw_waterfall(START, Screen(120))
    assert "\n".join(plain).isascii()
    assert "\n".join(blocks).replace("█", "#").replace("▒", "=") == "\n".join(plain)
    coloured = "\n".join(draw_waterfall(START, Screen(120, color=True)))
    for code in ("\x1b[1;36m", "\x1b[2m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == "\n".join(plain)


def test_a_narrow_terminal_gets_a_table() -> None:
    lines = draw_waterfall(START, Screen(79))
    assert lines[:5] == [
        "    begin  seconds  (* critical path)",
        "Engine",
        "*   0.000    0.100  container start",
        "server process: live after 0.32 s",
        "*   0.100    0.100  launch",
    ]
    assert max(map(len, lines)) < 60


REPORT: dict[str, Any] = {
    "start": {"ready_seconds": 0.61, "container_seconds": 0.1},
    "phases": PHASES,
    "ttfi_seconds": 0.7,
    "naive_ttfi_seconds": 4.2,
    "ready_seconds": 0.6,
    "floor_seconds": 0.3,
}

BENCH = {**REPORT, "runs": [{}] * 10, "page_cache": "warm", "load_average": {"before": 0.46, "after": 1.0}}


def test_the_picture_compares_on_one_scale_and_has_a_bar_for_each_phase() -> None:
    picture = ElementTree.fromstring(draw_start(REPORT))
    bars = [(bar.get("class"), float(bar.get("width") or 0)) for bar in picture.iter(f"{SVG}rect")]
    widths = dict(bars)
    assert widths["naive"] / widths["ours"] == pytest.approx(6.0, rel=0.01)
    assert widths["ready"] / widths["floor"] == pytest.approx(2.0, rel=0.01)
    start = lay_out_report(REPORT)
    drawn = [kind for kind, _ in bars if kind in ("critical", "beside")]
    every = [bar for lane in start.lanes for bar in lane.bars]
    assert drawn.count("critical") == len(start.path) + 1  # and one in the legend
    assert drawn.count("beside") == len(every) - len(start.path) + 1
    assert len(list(picture.iter(f"{SVG}path"))) == len(start.path) - 1
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "0.70 s, 6.0 times sooner" in texts
    assert "verify what is not used over 0.060 s" in texts


def test_the_picture_says_in_words_what_it_shows() -> None:
    picture = ElementTree.fromstring(draw_start(REPORT))
    assert picture.get("role") == "img"
    named = [item.get("id") for item in picture if item.tag in (f"{SVG}title", f"{SVG}desc")]
    assert named == (picture.get("aria-labelledby") or "").split()
    assert picture.findtext(f"{SVG}title") == "First answer after 0.70 s, of the naive image after 4.20 s"
    assert "Critical path: container start 0.100 s, launch 0.100 s" in (picture.findtext(f"{SVG}desc") or "")
    assert "prefers-color-scheme:dark" in (picture.findtext(f"{SVG}style") or "")


def test_the_picture_says_how_it_was_measured() -> None:
    texts = [text.text for text in ElementTree.fromstring(draw_start(BENCH)).iter(f"{SVG}text")]
    assert "medians of 10 starts each, page cache warm, load average 0.5 before" in texts


@pytest.mark.parametrize("stretch", [0.2, 1.0, 40.0])
def test_no_text_lies_on_another_or_outside_the_picture(stretch: float) -> None:
    long = [phase(f"open {'a component of a long name ' * 2}", 0.01, 0.59), *PHASES]
    phases = [
        {**each, "start": each["start"] * stretch, "seconds": each["seconds"] and each["seconds"] * stretch}
        for each in long
    ]
    start = {"ready_seconds": 0.61 * stretch, "container_seconds": 0.1 * stretch}
    picture = ElementTree.fromstring(draw_start({**BENCH, "phases": phases, "start": start}))
    boxes = list(text_boxes(picture))
    width, height = (float(picture.get(name) or 0) for name in ("width", "height"))
    for left, base, right, _ in boxes:
        assert left >= 0
        assert right <= width
        assert base <= height
    for (left, base, right, text), (left_2, base_2, right_2, text_2) in itertools.combinations(boxes, 2):
        assert abs(base - base_2) >= 11 or right <= left_2 or right_2 <= left, (text, text_2)


def text_boxes(picture: ElementTree.Element) -> Iterator[tuple[float, float, float, str]]:
    """Left, base line, right and text, with letters of 6 pixels; of 7 in headings."""
    for item in picture.iter(f"{SVG}text"):
        text = item.text or ""
        length = len(text) * (7.0 if item.get("class") == "head" else 6.0)
        at, base = float(item.get("x") or 0), float(item.get("y") or 0)
        left = at - {"end": length, "middle": length / 2}.get(item.get("text-anchor", ""), 0.0)
        yield left, base, left + length, text


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
