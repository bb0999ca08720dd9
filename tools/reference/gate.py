"""docs/reference/gate.md: the keys of the gate's document, from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.measure.gate_report.schema import SCHEMA, json_schema
from tools.reference.markdown import code, codes, page, sentence, table


def write_page() -> str:
    schema = json_schema()
    return page(
        "NAME-gate.json",
        "`prebake bench NAME` with `--baseline`, `--gate` or a limit writes `build/bench/NAME-gate.json`. The same as a [JSON "
        f"Schema](../gate.schema.json): `prebake schema --gate`. `schema` is {SCHEMA}. Names of keys end with their unit: "
        "`_seconds`, `_bytes`, `_bits_per_second`. A key is always there; if it may be null, the table says so. "
        "`prebake trace` reads this document, too ([measure](../measure.md#prebake-trace)).",
        *(part for path, node in _objects("", schema) for part in _write_object(path, node)),
    )


def _objects(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object with keys of its own, by the path to it."""
    if "properties" in node:
        yield path, node
        for name, child in node["properties"].items():
            yield from _objects(f"{path}.{name}".lstrip("."), child)
    elif "properties" in node.get("items", {}):
        yield from _objects(f"{path}[]", node["items"])


def _write_object(path: str, node: Mapping[str, Any]) -> list[str]:
    heading = [f"## {path}", sentence(node["description"])] if path else []
    rows = [
        (code(name), _type_of(child), sentence(child["description"]) + _choices_of(child))
        for name, child in node["properties"].items()
    ]
    return [*heading, table(("key", "type", "meaning"), rows)]


def _type_of(node: Mapping[str, Any]) -> str:
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    return " or ".join(kinds)


def _choices_of(node: Mapping[str, Any]) -> str:
    names = [name for name in node.get("enum", ()) if name is not None]
    return f" One of {codes(names)}." if names else ""
