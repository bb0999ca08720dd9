"""The picture of a start: bars, words, and texts that do not overlap."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest

from prebake.measure.report.start_picture import draw_start
from prebake.measure.report.waterfall import lay_out_report
from tests.support.measure.start_phases import PHASES, phase

SVG = "{http://www.w3.org/2000/svg}"

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
