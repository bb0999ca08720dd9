"""The gate's verdict in sentences, for the console, the error, Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.measure.gate.sequential import LEAST_VALUES
from prebake.measure.gate_report.names import Name, Words
from prebake.measure.gate_report.quantities import (
    format_interval,
    format_load,
    format_ratio,
    format_size,
    format_time,
    format_value,
    in_parentheses,
    invert,
)

TITLES = {"pass": "Gate passed", "fail": "Gate failed", "unclear": "Gate unclear"}
NO_PHASES = "No phases are compared: an image of this gate does not tell them, such as one of an older Prebake."

Document = Mapping[str, Any]


def choose_title(document: Document) -> str:
    """The verdict in two words. A gate without a limit judges nothing."""
    return TITLES[document["verdict"]] if document["checks"] else "Nothing judged"


def describe_verdict(document: Document) -> list[Words]:
    """One sentence for each check; those that decided the verdict come first. The last one says why a check is unclear."""
    checks = sorted(document["checks"], key=lambda check: check["verdict"] != document["verdict"])
    sentences = [describe_check(document, check) for check in checks]
    if any(check["verdict"] == "unclear" for check in checks):
        sentences.append((describe_doubt(document),))
    model = Name(document["model"])
    return sentences or [
        ("no flag sets a limit for ", model, ", and neither does image.yaml. Its start was measured only.")
    ]


def describe_check(document: Document, check: Document) -> Words:
    """The sentence of one limit: the measured value, and the highest one allowed."""
    return (*_describe_value(document, check), f"; at most {_format_limit(check)} is allowed.")


def _describe_value(document: Document, check: Document) -> Words:
    model = Name(document["model"])
    if check["name"] == "regression":
        phrase, than = _compare(check["value"], check["interval"], _count_digits(check))
        return (model, f" {phrase} {than} ", Name(document["baseline"]["given"]))
    if check["name"] == "ttfi":
        interval = in_parentheses(format_interval(check["interval"], 3))
        return (model, f" gives its first answer after {format_time(check['value'])}{interval}")
    return ("The image of ", model, f" has {_format_exact(check['value'])}")


def _format_limit(check: Document) -> str:
    if check["unit"] == "times":
        return f"{format_ratio(check['limit'], _count_digits(check))} times"
    return _format_exact(check["limit"]) if check["unit"] == "bytes" else format_value(check["limit"], check["unit"])


def _count_digits(check: Document) -> int:
    """Two digits after the point of a ratio; three if a number next to the limit would look like the limit."""
    limit = check["limit"]
    numbers = [number for number in (check["value"], *(check["interval"] or ())) if number is not None]
    alike = any(number != limit and format_ratio(number) == format_ratio(limit) for number in numbers)
    return 3 if alike or abs(limit - round(limit, 2)) > 1e-6 else 2


def _format_exact(size: float) -> str:
    """A size also in bytes: it may differ from the limit by less than the rounding."""
    return f"{format_size(size)} ({round(size)} bytes)"


def describe_doubt(document: Document) -> str:
    """Why a check is unclear: too few starts, an end before its verdict was clear, or noise."""
    pairs, most = document["pairs"], document["max_pairs"]
    found = f"There is no clear verdict after {count_starts(document)}"
    if pairs < LEAST_VALUES:
        return f"{found}: that is too few for any verdict, {LEAST_VALUES} are needed at least (--max-pairs {most})."
    if pairs < most:
        return f"{found}: the gate ended when another limit was exceeded."
    noise = f"{spread}, half their interquartile range; " if (spread := _describe_spread(document)) else ""
    return f"{found}: the machine is too noisy for this limit ({noise}load {format_load(document)})."


def _describe_spread(document: Document) -> str:
    """How noisy the figures are that are judged; empty if there are too few of them."""
    if document["spread"] is None:
        return ""
    figures = "the ratios of the pairs" if document["baseline"] else "the times"
    return f"{figures} vary by ±{document['spread']:.1%}"


def _compare(ratio: float, interval: Any, digits: int) -> tuple[str, str]:
    """The verb of a ratio of times, and ``than`` or ``as``: slower or faster only if the whole interval says so."""
    low, high = interval or (None, None)
    if low is not None and low >= 1 and f"{ratio:.2f}" != "1.00":
        return f"starts {_format_times(ratio, interval, digits, 'slower')}", "than"
    if high is not None and high <= 1 and f"{1 / ratio:.2f}" != "1.00":
        return f"starts {_format_times(1 / ratio, invert(interval), digits, 'faster')}", "than"
    return f"takes {_format_times(ratio, interval, digits, 'as long to start')}", "as"


def _format_times(ratio: float, interval: Any, digits: int, compared: str) -> str:
    return f"{format_ratio(ratio, digits)} times {compared}{in_parentheses(format_interval(interval, digits))}"


def describe_conditions(document: Document) -> str:
    """How it was measured."""
    order = " in random order" if document["baseline"] else ""
    parts = [
        f"{count_starts(document)}{order} (at most {document['max_pairs']})",
        _describe_state(document),
        f"load {format_load(document)}",
        _describe_spread(document),
    ]
    return f"{', '.join(filter(None, parts))}."


def _describe_state(document: Document) -> str:
    """The state of the machine before each start, with the rate of the link through which an absent image comes."""
    if document["state"] != "absent":
        return f"page cache {document['state']}"
    network, achieved = document["network_bits_per_second"], document["network_achieved_bits_per_second"]
    rate = "" if achieved is None else f" ({achieved / 1e9:.3g} Gbit/s achieved)"
    link = f" through a link of {network / 1e9:g} Gbit/s{rate}" if network else ""
    return f"image absent and pulled at each start{link}"


def count_starts(document: Document) -> str:
    """Such as ``8 pairs of starts`` or ``1 start``."""
    count = document["pairs"]
    plural = "" if count == 1 else "s"
    return f"{count} pair{plural} of starts" if document["baseline"] else f"{count} start{plural}"


def describe_starts(document: Document) -> str:
    """The text alternative of a picture of all starts."""
    baseline = f" Baseline: {_range(document, 'baseline')}." if document["baseline"] else ""
    count = count_starts(document)
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
