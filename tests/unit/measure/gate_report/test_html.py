"""The page, read by an HTML parser and, its pictures, by an XML parser."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prebake.measure.gate_report.html import format_html
from prebake.measure.gate_report.names import MAX_NAME, clean
from prebake.measure.gate_report.plots import Dot, Label, plot_phases, plot_ratios, plot_starts
from tests.support.measure.gate_documents import make_document, make_document_without_baseline

VOID = {"meta"}
SVG = "{http://www.w3.org/2000/svg}"


class Reader(HTMLParser):
    """The elements with their attributes, in order. Fails if an element is not closed, or closed in another one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pictures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def with_names(name: str) -> dict[str, Any]:
    document = copy.deepcopy(make_document(pairs=3, model=name))
    document["baseline"] |= {"given": name, "revision": name, "reference": name, "layer_bytes": {name: 1}}
    document["message"] = name
    document["counters"] |= {"reason": name}
    for entry in (*document["phases"], *document["counters"]["values"], *document["counters"]["changes"]):
        entry["name"] = name
    return document


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    page = format_html(make_document())
    reader = Reader(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert {"script", "link", "img", "iframe", "object", "a"}.isdisjoint(name for name, _ in reader.elements)
    assert not any(key in attributes for _, attributes in reader.elements for key in ("src", "href", "style", "onload"))
    assert "url(" not in page
    assert "@import" not in page
    assert re.findall(r"https?://[^\"]+", page) == ["http://www.w3.org/2000/svg"] * 3


def test_the_page_works_in_light_and_dark_and_in_print() -> None:
    style = format_html(make_document()).partition("<style>")[2].partition("</style>")[0]
    names = [re.findall(r"--(\w+):", block) for block in re.findall(r":root \{(.*?)\}", style)]
    assert len(names) == 3  # light, dark, print
    assert names[0] == names[1] == names[2]
    assert set(re.findall(r"var\(--(\w+)\)", style)) == set(names[0])
    assert "@media (prefers-color-scheme: dark)" in style
    assert "@media print" in style
    assert style.count("{") == style.count("}")


def test_the_page_can_be_used_without_seeing_it() -> None:
    reader = Reader(format_html(make_document()))
    assert reader.named("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in reader.named("svg"):
        assert svg["role"] == "img"
        assert set(str(svg["aria-labelledby"]).split()) <= set(ids)
    assert all(head["scope"] in ("col", "row") for head in reader.named("th"))
    assert [name for name, _ in reader.elements if re.fullmatch("h[1-6]", name)].count("h1") == 1


def test_the_verdict_comes_first() -> None:
    reader = Reader(format_html(make_document()))
    text = "".join(data for tag, data in reader.texts if tag in ("h1", "code"))
    assert text.startswith("Gate failed: foley starts 1.49 times slower")


@pytest.mark.parametrize("pairs", [1, 2, 40, 300])
def test_every_start_is_a_dot_with_its_seconds(pairs: int) -> None:
    document = make_document(pairs=pairs)
    starts, ratios, phases = pictures(format_html(document))
    dots = starts.findall(f".//{SVG}circle")
    assert len(dots) == 2 * pairs
    assert len(ratios.findall(f".//{SVG}circle")) == pairs
    assert len(phases.findall(f".//{SVG}rect")) == 2 * len(document["phases"])
    titles = [dot.findtext(f"{SVG}title") for dot in dots]
    assert titles[0] == f"pair 1, new: {document['starts'][0]['image']['ttfi_seconds']:.3f} s"
    for picture in (starts, ratios, phases):
        width, height = map(float, picture.attrib["viewBox"].split()[2:])
        for shape in (*picture.iter(f"{SVG}circle"), *picture.iter(f"{SVG}rect"), *picture.iter(f"{SVG}text")):
            x, y = (float(shape.get(key) or shape.get(f"c{key}") or "nan") for key in ("x", "y"))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_the_ratio_is_drawn_with_its_interval_and_limit_also_if_an_end_is_unbounded() -> None:
    document = make_document(pairs=2, ratio_interval_95=[1.2, None])
    plot = plot_ratios(document)
    assert f"Median {document['ratio']:.2f} (at least 1.20). At most 1.10 is allowed." in plot.description
    assert [shape.text for shape in plot.shapes if isinstance(shape, Label) and shape.kind == "bad"] == ["at most 1.10"]
    without = plot_ratios(make_document(checks=[], ratio_interval_95=[None, None]))
    assert not any("most" in shape.text for shape in without.shapes if isinstance(shape, Label))


def test_without_a_baseline_there_is_one_picture_and_nothing_of_a_baseline() -> None:
    page = format_html(make_document_without_baseline())
    Reader(page)
    (starts,) = pictures(page)
    assert len(starts.findall(f".//{SVG}circle")) == 8
    assert "baseline" not in page.partition("</style>")[2]


def test_phases_that_an_image_does_not_tell_are_no_empty_picture() -> None:
    page = format_html({**make_document(), "phases": []})
    assert "Phases of both images" not in page
    assert "older Prebake" in page


def test_starts_of_equal_time_are_stacked_beside_each_other() -> None:
    document = make_document(pairs=30)
    for pair in document["starts"]:
        pair["image"]["ttfi_seconds"] = pair["baseline"]["ttfi_seconds"] = 0.5
    document |= {"ttfi_seconds": 0.5, "baseline_ttfi_seconds": 0.5}
    dots = [shape for shape in plot_starts(document).shapes if isinstance(shape, Dot) and shape.kind == "image"]
    assert len({(dot.x, dot.y) for dot in dots}) == 30


def test_a_phase_that_only_one_image_has_is_drawn_once() -> None:
    document = make_document()
    document["phases"][0] |= {"seconds": None, "difference_seconds": None, "interval_95": None}
    (*_, phases) = pictures(format_html(document))
    assert len(phases.findall(f".//{SVG}rect")) == 2 * len(document["phases"]) - 1
    assert plot_phases({**document, "phases": []}).shapes


BENIGN = [(tag, list(attributes)) for tag, attributes in Reader(format_html(with_names("benign"))).elements]


@given(st.text(min_size=1, max_size=200).filter(lambda name: clean(name) != ""))
@settings(deadline=None, max_examples=25)
def test_any_name_changes_nothing_but_the_text(name: str) -> None:
    page = format_html(with_names(name))
    reader = Reader(page)
    assert [(tag, list(attributes)) for tag, attributes in reader.elements] == BENIGN
    assert ("code", clean(name, MAX_NAME)) in [(tag, text.replace("\n", " ")) for tag, text in reader.texts]
    assert len(pictures(page)) == 3
    page.encode()


@pytest.mark.parametrize(
    "name", ["</pre><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "]]>"]
)
def test_a_hostile_name_is_text(name: str) -> None:
    reader = Reader(format_html(with_names(name)))
    assert not reader.named("img")
    assert not reader.named("script")
    assert ("code", name) in reader.texts
