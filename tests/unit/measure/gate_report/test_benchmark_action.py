"""The JSON for github-action-benchmark, of the gate's document and of that of ``prebake bench``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prebake.measure.gate_report.benchmark_action import list_benchmark_values
from tests.support.measure.gate_documents import make_document, make_document_without_baseline
from tests.support.schemas import Draft202012Validator

# What the tool reads (https://github.com/benchmark-action/github-action-benchmark, src/extract.ts, "customSmallerIsBetter").
FORM = Draft202012Validator(
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["name", "unit", "value"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "unit": {"type": "string"},
                "value": {"type": "number"},
                "range": {"type": "string"},
                "extra": {"type": "string"},
            },
            "additionalProperties": False,
        },
    }
)

BENCH: dict[str, Any] = {
    "image": "prebake/foley:cpu-sample",
    "naive_image": "prebake/foley:cpu-sample-naive",
    "page_cache": "warm",
    "ttfi_seconds": 0.59,
    "naive_ttfi_seconds": 3.6,
    "ready_seconds": 0.47,
    "floor_seconds": 0.33,
    "import_seconds": 0.2,
    "steady_seconds": 0.14,
    "runs": [
        {"ttfi_seconds": 0.57, "naive_ttfi_seconds": 3.5, "ready_seconds": 0.46, "live_seconds": 0.2},
        {"ttfi_seconds": 0.59, "naive_ttfi_seconds": 3.6, "ready_seconds": 0.47, "live_seconds": 0.2},
        {"ttfi_seconds": 0.61, "naive_ttfi_seconds": 3.7, "ready_seconds": 0.48, "live_seconds": 0.2},
    ],
}


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = list_benchmark_values("foley", document)
    FORM.validate(found)
    json.dumps(found, allow_nan=False)
    assert len({entry["name"] for entry in found}) == len(found)
    return {entry["name"]: entry for entry in found}


def test_the_new_image_of_a_gate() -> None:
    document = make_document()
    found = by_name(document)
    assert list(found) == [
        "foley: first answer (TTFI)",
        "foley: ready",
        "foley: image size",
        "foley: modules imported",
        "foley: bytes read",
        "foley: threads",
    ]
    ttfi = found["foley: first answer (TTFI)"]
    assert (ttfi["value"], ttfi["unit"]) == (document["ttfi_seconds"], "seconds")
    assert ttfi["range"].startswith("± 0.0")
    assert "8 starts, state warm, digest sha256:aaa" in ttfi["extra"]
    assert (found["foley: image size"]["value"], found["foley: image size"]["unit"]) == (265_000_000, "bytes")
    assert (found["foley: modules imported"]["value"], found["foley: modules imported"]["unit"]) == (143, "modules")


def test_a_gate_without_a_baseline_has_the_same_figures() -> None:
    assert by_name(make_document_without_baseline()).keys() == by_name(make_document()).keys()


def test_a_value_that_is_missing_is_left_out() -> None:
    document = make_document(ready_seconds=None)
    document["counters"]["values"][0]["value"] = None
    found = by_name(document)
    assert "foley: ready" not in found
    assert "foley: modules imported" not in found


def test_a_bench_without_a_baseline() -> None:
    found = by_name(BENCH)
    assert {name.removeprefix("foley: "): entry["value"] for name, entry in found.items()} == {
        "first answer (TTFI)": 0.59,
        "naive image: first answer": 3.6,
        "ready": 0.47,
        "floor": 0.33,
        "imports": 0.2,
        "later answer": 0.14,
    }
    assert found["foley: first answer (TTFI)"]["range"] == "± 0.0100"
    assert "range" not in found["foley: floor"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_json_lacks_is_left_out(value: float | None) -> None:
    assert "foley: floor" not in by_name({**BENCH, "floor_seconds": value})
