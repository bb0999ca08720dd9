"""The gate's verdict in sentences, as a reviewer of the change reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.measure.gate_report.names import Name, Words
from prebake.measure.gate_report.quantities import (
    format_interval,
    format_size,
    format_time,
    format_value,
    in_parentheses,
    invert,
)

STATES = {
    "warm": "page cache warm",
    "cold": "page cache cold",
    "absent": "image absent: each start pulls it",
}
TITLES = {"pass": "Gate passed", "fail": "Gate failed", "unclear": "Gate unclear"}

Document = Mapping[str, Any]


def describe_verdict(document: Document) -> list[Words]:
    """One sentence for each check; those that decided the verdict come first."""
    checks = sorted(document["checks"], key=lambda check: check["verdict"] != document["verdict"])
    sentences = [_describe_check(document, check) for check in checks]
    return sentences or [("No limit was given for ", Name(document["model"]), ": its start was measured only.")]


def _describe_check(document: Document, check: Document) -> Words:
    limit = f"; at most {_format_limit(check)} is allowed."
    doubt = _describe_doubt(document) if check["verdict"] == "unclear" else ""
    return (*_describe_value(document, check), limit + doubt)


def _describe_value(document: Document, check: Document) -> Words:
    model = Name(document["model"])
    if check["name"] == "regression":
        phrase, than = _compare(check["value"], check["interval"])
        return (model, f" {phrase} {than} ", Name(document["baseline"]["given"]))
    if check["name"] == "ttfi":
        interval = in_parentheses(format_interval(check["interval"], 3))
        return (model, f" gives its first answer after {format_time(check['value'])}{interval}")
    return ("The image of ", model, f" has {_format_exact(check['value'])}")


def _format_limit(check: Document) -> str:
    return _format_exact(check["limit"]) if check["unit"] == "bytes" else format_value(check["limit"], check["unit"])


def _format_exact(size: float) -> str:
    """A size also in bytes: it may differ from the limit by less than the rounding."""
    return f"{format_size(size)} ({round(size)} bytes)"


def _describe_doubt(document: Document) -> str:
    """Why a check is unclear: how much was measured, and how noisy it was."""
    pairs, ratios = ("pairs", "the ratios of pairs") if document["baseline"] else ("starts", "the times")
    noise = "" if document["spread"] is None else f", and {ratios} vary by ±{document['spread']:.0%}"
    return (
        f" That is too close to call: {document['pairs']} of at most {document['max_pairs']} {pairs} were made{noise}."
    )


def _compare(ratio: float, interval: Any) -> tuple[str, str]:
    """The verb of a ratio of times, and ``than`` or ``as``: slower or faster only if the whole interval says so."""
    low, high = interval or (None, None)
    if low is not None and low >= 1 and f"{ratio:.2f}" != "1.00":
        return f"starts {ratio:.2f} times slower{in_parentheses(format_interval(interval))}", "than"
    if high is not None and high <= 1 and f"{1 / ratio:.2f}" != "1.00":
        return f"starts {1 / ratio:.2f} times faster{in_parentheses(format_interval(invert(interval)))}", "than"
    return f"takes {ratio:.2f} times as long to start{in_parentheses(format_interval(interval))}", "as"


def describe_conditions(document: Document) -> str:
    """How it was measured."""
    started = f"{_count_starts(document)} (at most {document['max_pairs']})"
    network = document["network_bits_per_second"]
    link = f" through a link of {network / 1e9:g} Gbit/s" if network else ""
    load = document["machine"]["load_average"]
    return (
        f"{started}, {STATES[document['state']]}{link}, load {load['before']:.1f} before and {load['after']:.1f} after."
    )


def _count_starts(document: Document) -> str:
    """Such as ``8 pairs of starts``."""
    count = document["pairs"]
    plural = "" if count == 1 else "s"
    return f"{count} pair{plural} of starts" if document["baseline"] else f"{count} start{plural}"


def describe_starts(document: Document) -> str:
    """The text alternative of a picture of all starts."""
    baseline = f" Baseline: {_range(document, 'baseline')}." if document["baseline"] else ""
    count = _count_starts(document)
    return f"Times until the first answer of {count}. New image: {_range(document, 'image')}.{baseline}"


def _range(document: Document, image: str) -> str:
    times = [pair[image]["ttfi_seconds"] for pair in document["starts"]]
    median = document["ttfi_seconds" if image == "image" else "baseline_ttfi_seconds"]
    ends = f", {format_time(min(times))} to {format_time(max(times))}" if times else ""
    return f"median {format_time(median)}{ends}"


def describe_size_change(document: Document) -> str:
    """By how much the image grew or shrank; empty without a baseline."""
    if not document["baseline"]:
        return ""
    new, old = document["image"]["size_bytes"], document["baseline"]["size_bytes"]
    if new == old:
        return "The image has as many bytes as the baseline."
    return f"The image has {format_size(abs(new - old))} {'more' if new > old else 'less'} than the baseline."
