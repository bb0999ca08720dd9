"""The text of the console and of the error: the sentences of the report, and why a verdict is unclear."""

from __future__ import annotations

from typing import Any

import pytest

from prebake.measure.gate_report.console import MOST_PHASES, format_console, summarize_doubt, summarize_failure
from prebake.measure.gate_report.html import format_html
from prebake.measure.gate_report.markdown import format_markdown
from prebake.measure.gate_report.names import join_words
from prebake.measure.gate_report.sentences import choose_title, describe_conditions, describe_verdict
from tests.support.measure.gate_documents import make_document, make_document_without_baseline


def make_unclear(pairs: int, max_pairs: int = 40, **changes: Any) -> dict[str, Any]:
    document = make_document(pairs=pairs, slower=0.05, verdict="unclear", max_pairs=max_pairs, **changes)
    document["checks"][0]["verdict"] = "unclear"
    return document


def test_the_console_has_the_sentences_the_figures_and_what_moved() -> None:
    lines = format_console(make_document()).splitlines()
    assert lines[0] == (
        "Gate failed: foley starts 1.49 times slower (1.46 to 1.56) than main; at most 1.10 times is allowed."
    )
    assert lines[3].split("   ")[-1] == "fail"
    assert "0.603 s             1.49 (1.46 to 1.56)   1.10 times" in lines[3]
    assert "  import images.foley.model   0.372 s    0.072 s   +0.300 s (+0.295 to +0.305)" in lines
    assert "  1 module more: wave (22.5 KiB, after images.foley.model)" in lines
    assert lines[-1] == (
        "8 pairs of starts in random order (at most 40), page cache warm, load 0.4 before and 1.2 after, "
        "the ratios of the pairs vary by ±4.0%."
    )


@pytest.mark.parametrize(
    "document", [make_document(), make_document_without_baseline(), make_unclear(40), make_document(checks=[])]
)
def test_console_markdown_and_html_say_the_same(document: dict[str, Any]) -> None:
    document = {**document, "model": "toy"}
    texts = (format_console(document), format_markdown(document), format_html(document))
    for words in describe_verdict(document):
        for part in (part.strip(" ;.") for part in words):
            assert all(part in text for text in texts), part
    for said in (choose_title(document), describe_conditions(document).partition(", the ")[0]):
        assert all(said in text for text in texts)


def test_the_error_names_the_limits_the_phases_and_the_counters() -> None:
    document = make_document()
    document["checks"].append(document["checks"][0] | {"verdict": "pass"})
    assert summarize_failure(document).splitlines() == [
        "foley exceeds its limits:",
        "  foley starts 1.49 times slower (1.46 to 1.56) than main; at most 1.10 times is allowed.",
        "  phases that moved: import images.foley.model +0.300 s",
        "  counted at one start: 1 module more: wave (22.5 KiB, after images.foley.model)",
        "  counted at one start: layers: code: 1000 B more, 79.1 KiB",
    ]


def test_many_phases_are_cut_and_the_text_says_so() -> None:
    document = make_document()
    document["phases"] = [document["phases"][7]] * (MOST_PHASES + 3)
    assert "  and 3 more, which the files of this gate list" in format_console(document).splitlines()
    assert summarize_failure(document).count("import images.foley.model") == MOST_PHASES
    assert " +0.300 s and 3 more\n" in summarize_failure(document)


def test_a_noisy_machine_is_described_by_how_noisy_it_is() -> None:
    assert summarize_doubt(make_unclear(40)).splitlines() == [
        "The gate of foley is unclear:",
        f"  {join_words(describe_verdict(make_unclear(40))[0])}",
        "  There is no clear verdict after 40 pairs of starts: the machine is too noisy for this limit "
        "(the ratios of the pairs vary by ±4.0%, half their interquartile range; load 0.4 before and 1.2 after).",
    ]


@pytest.mark.parametrize(
    ("pairs", "baseline", "count"),
    [(1, True, "1 pair of starts"), (7, True, "7 pairs of starts"), (1, False, "1 start"), (7, False, "7 starts")],
)
def test_too_few_starts_are_not_a_noisy_machine(pairs: int, baseline: bool, count: str) -> None:
    document = (make_document if baseline else make_document_without_baseline)(pairs=pairs) | {"max_pairs": pairs}
    text = summarize_doubt(document)
    assert (
        f"no clear verdict after {count}: that is too few for any verdict, 8 are needed at least (--max-pairs {pairs})."
        in text
    )
    assert "noisy" not in text
    assert (
        format_console(document)
        .splitlines()[-1]
        .startswith(f"{count}{' in random order' * baseline} (at most {pairs}),")
    )


def test_a_gate_that_another_limit_ended_is_not_a_noisy_machine() -> None:
    document = make_unclear(9)
    document["checks"].append(document["checks"][0] | {"verdict": "fail"})
    document["verdict"] = "fail"
    *_, doubt = describe_verdict(document)
    assert join_words(doubt) == (
        "There is no clear verdict after 9 pairs of starts: the gate ended when another limit was exceeded."
    )


@pytest.mark.parametrize(
    ("value", "interval", "limit", "said"),
    [
        (1.104, [1.101, 1.13], 1.1, "1.104 times slower (1.101 to 1.130) than main; at most 1.100 times is allowed."),
        (1.2, [1.15, 1.3], 1.125, "1.200 times slower (1.150 to 1.300) than main; at most 1.125 times is allowed."),
        (1.2, [1.15, 1.3], 1.1, "1.20 times slower (1.15 to 1.30) than main; at most 1.10 times is allowed."),
    ],
)
def test_a_ratio_next_to_the_limit_does_not_look_like_the_limit(
    value: float, interval: list[float], limit: float, said: str
) -> None:
    document = make_document()
    document["checks"][0] |= {"value": value, "interval": interval, "limit": limit}
    assert said in format_console(document)


@pytest.mark.parametrize(("achieved", "said"), [(9.42e8, " (0.942 Gbit/s achieved)"), (None, "")])
def test_the_link_of_an_absent_image_is_described_with_the_rate_that_it_achieved(
    achieved: float | None, said: str
) -> None:
    document = make_document(
        state="absent", network_bits_per_second=10**9, network_achieved_bits_per_second=achieved, spread=None
    )
    assert f"image absent and pulled at each start through a link of 1 Gbit/s{said}, load" in describe_conditions(
        document
    )


def test_a_gate_without_a_limit_judges_nothing() -> None:
    text = format_console(make_document(checks=[], verdict="pass"))
    assert text.startswith("Nothing judged: no flag sets a limit for foley, and neither does image.yaml")


def test_a_name_cannot_write_lines_of_its_own() -> None:
    document = make_document()
    document["baseline"]["given"] = "main\n::error::x"
    document["phases"][7]["name"] = "import\n::error::x"
    assert not any(line.startswith("::") for line in format_console(document).splitlines())
    assert len(summarize_failure(document).splitlines()) == 5
