"""The JSON that github-action-benchmark reads with ``tool: customSmallerIsBetter``: a list of named values, smaller is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import quantiles
from typing import Any

Document = Mapping[str, Any]
Entry = dict[str, Any]

_BENCH = (
    ("first answer (TTFI)", "ttfi_seconds"),
    ("naive image: first answer", "naive_ttfi_seconds"),
    ("ready", "ready_seconds"),
    ("floor", "floor_seconds"),
    ("imports", "import_seconds"),
    ("later answer", "steady_seconds"),
)
"""Names and keys of the document of ``prebake bench`` without a baseline."""


def list_benchmark_values(model: str, document: Document) -> list[Entry]:
    """``name``, ``unit``, ``value`` and ``extra`` of each figure, and ``range`` if there are several starts. ``document`` is that
    of the gate or of ``prebake bench`` without a baseline. The list has no figure of the baseline, as the tool keeps a history.

    The form: https://github.com/benchmark-action/github-action-benchmark, section "customSmallerIsBetter".
    """
    found = _read_gate(document) if document.get("kind") == "gate" else _read_bench(document)
    return [{**entry, "name": f"{model}: {entry['name']}"} for entry in found if _is_finite(entry["value"])]


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _read_gate(document: Document) -> Iterator[Entry]:
    extra = f"{document['pairs']} starts, state {document['state']}, digest {document['image']['digest']}"
    starts = [pair["image"] for pair in document["starts"]]
    for name, key in (("first answer (TTFI)", "ttfi_seconds"), ("ready", "ready_seconds")):
        yield _entry(name, "seconds", document[key], [start[key] for start in starts], extra)
    yield _entry("image size", "bytes", document["image"]["size_bytes"], extra=extra)
    for counter in document["counters"]["values"]:
        yield _entry(counter["name"], counter["unit"], counter["value"], extra=extra)


def _read_bench(document: Document) -> Iterator[Entry]:
    runs = document.get("runs", [])
    extra = f"{len(runs)} starts, page cache {document['page_cache']}, image {document['image']}"
    for name, key in _BENCH:
        values = [run[key] for run in runs if key in run]
        yield _entry(name, "seconds", document.get(key), values, extra)


def _entry(name: str, unit: str, value: float | None, values: Sequence[float | None] = (), extra: str = "") -> Entry:
    """``range`` is half the interquartile range of the single values, as the tool writes it behind the value."""
    known = [each for each in values if each is not None]
    spread: Entry = {}
    if len(known) > 1:
        low, _, high = quantiles(known, n=4, method="inclusive")
        spread = {"range": f"± {(high - low) / 2:.4f}"}
    return {"name": name, "unit": unit, "value": value, **spread, "extra": extra}
