"""The job summary and the comment, read by a CommonMark parser with tables: what shows, and that names inject nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from prebake.measure.gate_report.console import format_console
from prebake.measure.gate_report.markdown import MAX_CHARACTERS, format_markdown, format_name, format_text
from prebake.measure.gate_report.names import MAX_NAME, clean
from tests.support.measure.gate_documents import make_document, make_document_without_baseline

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")

HOSTILE = (
    "a|b",
    "a\\|b\\",
    "`x` ``y``",
    "<script>alert(1)</script>",
    "</code><img src=x onerror=alert(1)>",
    "</details></pre>",
    "@someone and @org/team",
    "a@example.org",
    "#1, GH-1, !2",
    "[x](javascript:alert(1)) ![x](https://example.org/x.png)",
    "https://example.org www.example.org",
    "line\n\n# heading\r\n- item",
    "**bold** _it_ __init__ ~~x~~",
    "&lt;b&gt; &#60;",
    ":tada: <!-- x -->",
    "$x^2$",
    "\u202egnp.exe",
    "| --- |",
    "  ```\n~~~",
)


def describe(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """The structure: types of tokens, and HTML as it is. Comments, and how text is split, do not count."""
    for token in tokens:
        if token.children is not None:
            yield from describe(token.children)
        elif token.type == "html_block" and token.content.startswith("<pre>"):
            yield ("pre", "")
        elif token.type not in ("text", "html_inline") or (token.type == "html_inline" and token.content != "<!-- -->"):
            yield (token.type, token.content if "html" in token.type else "")


def show(text: str) -> str:
    """The text that a reader sees of one line."""
    (inline,) = (token for token in PARSER.parse(text) if token.type == "inline")
    return "".join(child.content for child in inline.children or [] if child.type == "text")


def with_names(name: str) -> dict[str, Any]:
    """A document in which everything that comes from outside is called ``name``."""
    document = copy.deepcopy(make_document(pairs=3, model=name))
    document["baseline"] |= {"given": name, "revision": name, "reference": name}
    document["image"] |= {"reference": name, "layer_bytes": {name: 1}}
    document["baseline"]["layer_bytes"] = {name: 2}
    document["machine"] |= {"processor": name, "kernel": name, "engine": name}
    document["message"] = f"{name} starts slower"
    for entry in (*document["phases"], *document["counters"]["values"], *document["counters"]["changes"]):
        entry["name"] = name
    return document


BENIGN = list(describe(PARSER.parse(format_markdown(with_names("benign")))))


def test_the_verdict_comes_first_in_words() -> None:
    document = make_document()
    ratio, (low, high) = document["ratio"], document["ratio_interval_95"]
    text = format_markdown(document)
    expected = (
        f"foley starts {ratio:.2f} times slower ({low:.2f} to {high:.2f}) than main; at most 1.10 times is allowed."
    )
    assert show(text.partition("\n")[0]) == f"Gate failed: {expected}"


@pytest.mark.parametrize(
    ("ratio", "interval", "said"),
    [
        (0.8, [0.75, 0.9], "foley starts 1.25 times faster (1.11 to 1.33) than main; at most 1.10 times is allowed."),
        (1.02, [0.97, 1.05], "foley takes 1.02 times as long to start (0.97 to 1.05) as main;"),
        (1.0, [1.0, 1.0], "foley takes 1.00 times as long to start (1.00 to 1.00) as main;"),
        (1.3, [1.2, None], "foley starts 1.30 times slower (at least 1.20) than main;"),
        (1.3, [None, None], "foley takes 1.30 times as long to start (too few pairs for an interval) as main;"),
    ],
)
def test_a_ratio_is_slower_or_faster_only_if_its_whole_interval_is(ratio: float, interval: Any, said: str) -> None:
    document = make_document(verdict="pass", ratio=ratio, ratio_interval_95=interval)
    document["checks"][0] |= {"value": ratio, "interval": interval, "verdict": "pass"}
    assert said in show(format_markdown(document).partition("\n")[0])


def test_a_check_that_is_unclear_says_how_noisy_the_machine_is_and_every_check_has_a_sentence() -> None:
    document = make_document(pairs=40, slower=0.02, verdict="fail", spread=0.124)
    document["checks"][0]["verdict"] = "unclear"
    document["checks"] += [
        {"name": "ttfi", "verdict": "pass", "value": 0.62, "interval": [0.6, 0.63], "limit": 2.0, "unit": "seconds"},
        {"name": "image size", "verdict": "fail", "value": 1.6e9, "interval": None, "limit": 1.5e9, "unit": "bytes"},
    ]
    heading, _, rest = format_markdown(document).partition("\n")
    assert "The image of foley has 1.5 GiB (1600000000 bytes); at most 1.4 GiB (1500000000 bytes) is allowed." in show(
        heading
    )
    assert "foley gives its first answer after 0.620 s (0.600 to 0.630); at most 2.000 s is allowed." in show(
        rest.splitlines()[3]
    )
    assert show(rest.splitlines()[5]) == (
        "There is no clear verdict after 40 pairs of starts: the machine is too noisy for this limit "
        "(the ratios of the pairs vary by ±12.4%, half their interquartile range; load 0.4 before and 1.2 after)."
    )
    assert "| image size | 252.7 MiB | 251.8 MiB | 1.00 | 1.4 GiB | fail |" in rest
    assert "| 1.10 times, 2.000 s | unclear, pass |" in rest


def test_without_a_baseline_there_is_nothing_of_one() -> None:
    document = make_document_without_baseline()
    text = format_markdown(document)
    seconds = document["ttfi_seconds"]
    assert show(text.partition("\n")[0]) == (
        f"Gate failed: foley gives its first answer after {seconds:.3f} s ({seconds - 0.01:.3f} to {seconds + 0.01:.3f}); "
        "at most 0.500 s is allowed."
    )
    assert "\n8 starts (at most 40), page cache warm" in text
    assert "| | new | at most | verdict |".replace("| |", "|  |") in text
    assert f"| first answer (TTFI) | {seconds:.3f} s | 0.500 s | fail |" in text
    assert "| pair | new TTFI | new ready |" in text
    assert "baseline" not in text
    assert "phase" not in text


def test_what_moved_is_named_and_what_did_not_is_folded() -> None:
    shown, _, folded = format_markdown(make_document()).partition("<details>")
    assert "<code>import images.foley.model</code>" in shown
    assert "<code>wave</code>" in shown
    assert "<code>modules imported</code> | 143 | 142 | +1 |" in shown
    assert "import numpy" not in shown
    assert "import numpy" in folded
    assert folded.count("</details>") == folded.count("<details>") + 1


def test_a_reason_why_nothing_was_counted_is_shown() -> None:
    counters = {"counted": False, "reason": "ptrace is forbidden", "values": [], "changes": [], "sentences": []}
    text = format_markdown(make_document(slower=0.0, counters=counters))
    assert "Nothing was counted: ptrace is forbidden" in text.partition("<details>")[0]
    assert "No phase moved" in text


def test_phases_that_an_older_image_does_not_tell_are_not_phases_that_did_not_move() -> None:
    document = {**make_document(slower=0.0), "phases": []}
    for text in (format_markdown(document), format_console(document)):
        assert "older Prebake" in text
        assert "No phase moved" not in text


def test_sizes_that_moved_are_named_beside_the_reason_why_nothing_was_counted() -> None:
    """A start that cannot be counted is no reason to hide that a layer grew."""
    value = {"name": "layers: weights", "unit": "bytes", "value": 2_000_000, "baseline": 1_000_000, "moved": True}
    sentences = ["not counted: ptrace is forbidden", "layers: weights: 977 KiB more, 1.9 MiB"]
    counters = {
        "counted": False,
        "reason": "ptrace is forbidden",
        "values": [value],
        "changes": [],
        "sentences": sentences,
    }
    document = make_document(counters=counters)
    shown = format_markdown(document).partition("<details>")[0]
    assert "Nothing was counted: ptrace is forbidden" in shown
    assert "<code>layers&#58; weights</code>" in shown or "<code>layers: weights</code>" in shown
    assert all(f"  {sentence}" in format_console(document).splitlines() for sentence in sentences)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nothing_but_the_text(name: str) -> None:
    text = format_markdown(with_names(name))
    assert list(describe(PARSER.parse(text))) == BENIGN
    assert not re.search(
        r"(?<![\w.])@(?=\w)", text.partition("<pre>")[0]
    )  # GitHub looks for mentions after Markdown was read


@given(st.text(min_size=1, max_size=300).filter(lambda name: clean(name) != ""))
@settings(deadline=None, max_examples=30)
def test_any_name_changes_nothing_but_the_text(name: str) -> None:
    text = format_markdown(with_names(name))
    assert list(describe(PARSER.parse(text))) == BENIGN
    text.encode()


@given(st.one_of(st.text(alphabet="|`<>@\\*_[]()!#&;:/w.~$ab\n\t ", max_size=40), st.text(max_size=40)))
@settings(deadline=None)
def test_a_name_and_a_text_show_as_they_are(text: str) -> None:
    assert show(f"x{format_name(text)}x") == f"x{clean(text, MAX_NAME)}x"
    assert show(f"x{format_text(text)}x").replace(" ", "") == f"x{clean(text)}x".replace(" ", "")


def test_long_lists_are_cut_and_the_text_says_so() -> None:
    document = with_names("@" * 500)
    document["starts"] *= 3_000
    document["phases"] *= 500
    document["message"] = "<" * 100_000 + "\n" + "&\n" * 50_000
    for key in ("values", "changes"):
        document["counters"][key] *= 1_000
    text = format_markdown(document, picture_url=f"https://example.org/{'x' * 1_900}")
    assert 20_000 < len(text) < MAX_CHARACTERS
    left_out = re.findall(r"and (\d+) more, which the JSON document has", text)
    assert len(left_out) >= 5
    starts = text[text.index("<summary>All starts") :].partition("</details>")[0]
    assert starts.count("\n| ") - 1 + int(re.findall(r"and (\d+) more", starts)[0]) == len(document["starts"])
    assert text.count("<details>") == text.count("</details>")
    assert text.index("</pre>") > text.index("<pre>")


def test_a_picture_is_shown_by_its_address_alone() -> None:
    text = format_markdown(make_document(), picture_url='https://example.org/a b(1)>"`<x>.png?x=1')
    tokens = [child for token in PARSER.parse(text) for child in token.children or [] if child.type == "image"]
    assert [token.attrs["src"] for token in tokens] == ["https://example.org/a%20b%281%29%3E%22%60%3Cx%3E.png?x=1"]
    assert "8 pairs of starts" in tokens[0].content
    for url in (
        "javascript:alert(1)",
        "picture.png",
        "data:image/png;base64,AAAA",
        f"https://example.org/{'x' * 3_000}",
    ):
        with pytest.raises(ValueError, match="not the address of a picture"):
            format_markdown(make_document(), picture_url=url)
