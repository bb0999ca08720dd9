"""A gate's document as text for the console."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prebake.io.byte_sizes import format_bytes
from prebake.measure.gate.sequential import least_clear

MOST_NAMES = 12
"""Phases or changes that are listed; the files have all of them."""
Document = Mapping[str, Any]


def gate_lines(document: Document) -> list[str]:
    """The verdict, each limit, what moved, and how it was measured."""
    return [
        f"{document['model']} against {_against(document)}: {_verdict(document)}",
        *(check_line(check, document) for check in document["checks"]),
        *_figures(document),
        *_phases(document),
        *_counters(document["counters"]),
        _circumstances(document),
    ]


def check_line(check: Document, document: Document) -> str:
    """One limit as a sentence."""
    unit, limit, value = check["unit"], check["limit"], check["value"]
    if unit == "bytes":
        text = f"image size {format_bytes(value)}, at most {format_bytes(round(limit))}"
    elif unit == "seconds":
        text = f"first answer after {value:.3f} s{_interval(check['interval'])}, at most {limit:.3f} s"
    else:
        interval = _interval(check["interval"])
        text = f"first answer {value:.3f} times as late as {_against(document)}{interval}, at most {limit:.2f}"
    return f"{check['verdict']:8}{text}"


def summarize_failure(document: Document) -> str:
    """The sentence of the error: the limits that are exceeded, and the phases and counters that moved."""
    exceeded = [
        check_line(check, document).split(maxsplit=1)[1] for check in document["checks"] if check["verdict"] == "fail"
    ]
    phases = [f"{phase['name']} {phase['difference_seconds']:+.3f} s" for phase in slowest(document["phases"])]
    lines = [f"{document['model']} exceeds its limits:", *(f"  {each}" for each in exceeded)]
    lines += [f"  phases that moved: {_list(phases)}"] if phases else []
    lines += [f"  counted at one start: {sentence}" for sentence in document["counters"]["sentences"]]
    return "\n".join(lines)


def summarize_noise(document: Document) -> str:
    """The sentence of an unclear verdict: what is open, and how noisy the machine is."""
    open_checks = [
        check_line(check, document).split(maxsplit=1)[1]
        for check in document["checks"]
        if check["verdict"] == "unclear"
    ]
    return "\n".join(
        [
            f"{document['model']}: no clear verdict after {document['pairs']} {_pairs(document)}:",
            *(f"  {each}" for each in open_checks),
            f"  {_reason(document)}",
        ]
    )


def _reason(document: Document) -> str:
    """Why the verdict is unclear."""
    if least_clear(document["pairs"]) is None:
        least = next(count for count in itertools.count(1) if least_clear(count) is not None)
        return f"that is too few for any verdict: {least} are needed at least (--max-pairs {document['max_pairs']})"
    spread, load = document["spread"], document["machine"]["load_average"]
    noise = (
        "" if spread is None else f"one start differs from the next by {spread:.1%} (half the interquartile range), "
    )
    return f"the machine is too noisy for this limit: {noise}load {load['before']:.1f} before and {load['after']:.1f} after"


def slowest(phases: Sequence[Document]) -> list[Document]:
    """The phases that moved, the one that moved most first."""
    moved = [phase for phase in phases if phase["moved"]]
    return sorted(moved, key=lambda phase: -abs(phase["difference_seconds"]))


def _verdict(document: Document) -> str:
    return (
        document["verdict"] if document["checks"] else "nothing to judge: image.yaml has no limit of the image itself"
    )


def _figures(document: Document) -> Iterator[str]:
    size, baseline = document["image"]["size_bytes"], document["baseline"]
    rows = [
        ("first answer", document["ttfi_seconds"], document["baseline_ttfi_seconds"]),
        ("ready", document["ready_seconds"], document["baseline_ready_seconds"]),
    ]
    yield f"{'':14}{'image':>10}" + (f"{'baseline':>10}" if baseline else "")
    for name, ours, theirs in rows:
        yield f"{name:14}{_seconds(ours):>10}" + (f"{_seconds(theirs):>10}" if baseline else "")
    yield f"{'image size':14}{format_bytes(size):>10}" + (
        f"{format_bytes(baseline['size_bytes']):>10}" if baseline else ""
    )


def _phases(document: Document) -> Iterator[str]:
    if document["baseline"] and not document["phases"]:
        yield "phases: none (an image does not tell them, such as one of an older Prebake)"
    moved = slowest(document["phases"])
    if moved:
        yield "phases that moved (median of the paired differences, 95 % interval):"
    for phase in moved[:MOST_NAMES]:
        low, high = phase["interval_95"]
        yield f"  {phase['name']:32}{phase['difference_seconds']:+.3f} s ({low:+.3f} to {high:+.3f})"
    yield from _rest(len(moved))


def _counters(counters: Document) -> Iterator[str]:
    sentences = counters["sentences"]
    if not counters["counted"] and not sentences:
        yield f"counters: none ({counters['reason']})"
    elif sentences:
        yield "counters that moved (one counted start of each image):"
    yield from (f"  {sentence}" for sentence in sentences)


def _rest(count: int) -> Iterator[str]:
    if count > MOST_NAMES:
        yield f"  and {count - MOST_NAMES} more, which the files of this gate list"


def _circumstances(document: Document) -> str:
    load, spread = document["machine"]["load_average"], document["spread"]
    state = {"warm": "page cache warm", "cold": "page cache cold", "absent": "image absent"}[document["state"]]
    network = document["network_bits_per_second"]
    achieved = document["network_achieved_bits_per_second"]
    link = f" and pulled at {network / 1e9:g} Gbit/s ({achieved / 1e9:.3g} achieved)" if network else ""
    noise = f", spread {spread:.1%}" if spread is not None else ""
    loads = f"load {load['before']:.1f} before and {load['after']:.1f} after"
    return f"{document['pairs']} {_pairs(document)}, {state}{link}, {loads}{noise}"


def _pairs(document: Document) -> str:
    return "pairs of starts in random order" if document["baseline"] else "starts"


def _against(document: Document) -> str:
    baseline = document["baseline"]
    return str(baseline["given"]) if baseline else "its limits"


def _interval(interval: Sequence[float | None]) -> str:
    low, high = interval
    if low is None or high is None:
        return ""
    return f" ({low:.3f} to {high:.3f})"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f} s"


def _list(words: Sequence[str]) -> str:
    rest = f" and {len(words) - MOST_NAMES} more" if len(words) > MOST_NAMES else ""
    return ", ".join(words[:MOST_NAMES]) + rest
