"""The JSON Schema of the gate's document: sample documents, what it refuses, and the descriptions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prebake.measure.gate_report.schema import json_schema
from tests.support.measure.gate_documents import make_document, make_document_without_baseline
from tests.support.repository import ROOT
from tests.support.schemas import Draft202012Validator

VALIDATOR = Draft202012Validator(json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)

UNCLEAR = make_document(
    pairs=2,
    slower=0.02,
    verdict="unclear",
    ratio_interval_95=[None, None],
    network_bits_per_second=1e9,
    state="absent",
    counters={"counted": False, "reason": "ptrace is forbidden", "values": [], "changes": [], "sentences": []},
)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_the_published_schema_is_this_version_s() -> None:
    published = json.loads((ROOT / "docs/gate.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "run `make reference`"


@pytest.mark.parametrize(
    "document", [make_document(), make_document(pairs=40, slower=0.0), UNCLEAR, make_document_without_baseline()]
)
def test_documents_are_valid(document: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def remove(*path: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        *parents, last = path
        for name in parents:
            document = document[name]
        del document[last]

    return change


def replace(value: Any, *path: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        *parents, last = path
        for name in parents:
            document = document[name]
        document[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        remove("model"),
        remove("starts", 0, "baseline"),
        remove("image", "digest"),
        replace(2, "schema"),
        replace("bench", "kind"),
        replace("maybe", "verdict"),
        replace("main", "image", "digest"),
        replace(-1.0, "ttfi_seconds"),
        replace([1.0], "ratio_interval_95"),
        replace("0.1", "phases", 0, "seconds"),
        replace("new", "an unknown key"),
        replace(1.5, "pairs"),
    ],
)
def test_a_document_with_a_fault_is_refused(change: Callable[[Any], None]) -> None:
    document = copy.deepcopy(make_document())
    change(document)
    assert not VALIDATOR.is_valid(document)


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "description" in node.get("items", {}):
        yield from nodes(node["items"], f"{path}[]")


def test_every_key_is_described_and_names_of_units_are_kept() -> None:
    for path, node in nodes(json_schema()):
        assert node["description"], path
        if path.endswith("_seconds"):
            assert "seconds" in node["description"] or "the same of" in node["description"], path
        if path.endswith("_bytes"):
            assert "bytes" in node["description"], path
