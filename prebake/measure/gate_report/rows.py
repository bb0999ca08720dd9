"""The tables of the gate's pages as values, which Markdown and HTML write out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prebake.measure.gate_report.names import Name
from prebake.measure.gate_report.quantities import (
    NONE,
    Ends,
    format_difference,
    format_interval,
    format_load,
    format_number,
    format_ratio,
    format_size,
    format_time,
    format_value,
    in_parentheses,
)
from prebake.measure.gate_report.sentences import NO_PHASES

Document = Mapping[str, Any]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table with its title. Cells that are a ``Name`` come from outside. ``numbers``: the columns that are aligned right."""

    title: str
    head: Row
    rows: tuple[Row, ...]
    numbers: tuple[int, ...] = ()
    empty: str = "None."
    """The text in place of a table without rows."""


def tabulate_measures(document: Document) -> Table:
    """TTFI, ready and size of both images, with ratio, limit and verdict."""
    checks = {check["name"]: check for check in document["checks"]}
    image, baseline = document["image"]["size_bytes"], (document["baseline"] or {}).get("size_bytes")
    ttfi = (document["ttfi_seconds"], document["baseline_ttfi_seconds"])
    ready = (document["ready_seconds"], document["baseline_ready_seconds"])
    rows = [
        (
            "first answer (TTFI)",
            *map(format_time, ttfi),
            _ratio(document["ratio"], document["ratio_interval_95"]),
            *_limits(checks.get("regression"), checks.get("ttfi")),
        ),
        ("ready", *map(format_time, ready), _ratio(_divide(*ready)), NONE, NONE),
        (
            "image size",
            format_size(image),
            format_size(baseline),
            _ratio(_divide(image, baseline)),
            *_limits(checks.get("image size")),
        ),
    ]
    head = ("", "new", "baseline", "new / baseline (95% interval)", "at most", "verdict")
    return _leave_out(document, Table("Result", head, tuple(rows), (1, 2, 3, 4)), (2, 3))


def _leave_out(document: Document, table: Table, columns: tuple[int, ...]) -> Table:
    """Without a baseline, the table without its ``columns``."""
    if document["baseline"]:
        return table
    kept = [number for number in range(len(table.head)) if number not in columns]
    rows = tuple(tuple(row[number] for number in kept) for row in table.rows)
    numbers = tuple(place for place, number in enumerate(kept) if number in table.numbers)
    return replace(table, head=tuple(table.head[number] for number in kept), rows=rows, numbers=numbers)


def _ratio(value: float | None, interval: Ends | None = None) -> str:
    return f"{format_ratio(value)}{in_parentheses(format_interval(interval))}"


def _divide(new: float | None, old: float | None) -> float | None:
    return new / old if new is not None and old else None


def _limits(*checks: Document | None) -> Row:
    """The cells for limit and verdict: several checks of one row are separated by commas."""
    found = [check for check in checks if check is not None]
    limits = ", ".join(format_value(check["limit"], check["unit"]) for check in found)
    return limits or NONE, ", ".join(check["verdict"] for check in found) or NONE


def tabulate_phases(document: Document, *, moved: bool = False) -> Table:
    """The phases; only those that moved, the largest difference first, or all in their order."""
    phases = list_moved(document) if moved else document["phases"]
    head = ("phase", "new", "baseline", "difference (95% interval)", *(() if moved else ("moved",)))
    rows = tuple((*_phase_row(phase), *(() if moved else (_yes(phase["moved"]),))) for phase in phases)
    empty = (
        "No phase moved: no interval of the differences leaves 0 out by a millisecond or more."
        if moved and document["phases"]
        else NO_PHASES
    )
    return Table("Phases that moved" if moved else "All phases", head, rows, (1, 2, 3), empty)


def list_moved(document: Document) -> list[Document]:
    """The phases that moved, the one that moved most first."""
    moved = [phase for phase in document["phases"] if phase["moved"]]
    return sorted(moved, key=lambda phase: -abs(phase["difference_seconds"] or 0.0))


def _phase_row(phase: Document) -> Row:
    new, old = phase["seconds"], phase["baseline_seconds"]
    change = phase["difference_seconds"]
    difference = NONE if change is None else format_difference(change, 0.0, "seconds")
    interval = in_parentheses(format_interval(phase["interval_95"], 3, sign=True))
    return Name(phase["name"]), format_time(new), format_time(old), f"{difference}{interval}"


def _yes(value: bool) -> str:
    return "moved" if value else ""


def tabulate_counters(document: Document, *, moved: bool = False) -> Table:
    """The counters: only those that moved, or all."""
    counters = document["counters"]
    values = [value for value in counters["values"] if value["moved"] or not moved]
    head = ("counter", "new", "baseline", "difference", *(() if moved else ("moved",)))
    rows = tuple((*_counter_row(value), *(() if moved else (_yes(value["moved"]),))) for value in values)
    empty = "No counter moved." if counters["counted"] else describe_uncounted(counters)
    title = "Counters that moved" if moved else "All counters"
    return _leave_out(document, Table(title, head, rows, (1, 2, 3), empty), (2, 3, 4))


def describe_uncounted(counters: Document) -> str:
    """Why the counters are missing."""
    return f"Nothing was counted: {counters['reason'] or 'no reason is given'}"


def _counter_row(value: Document) -> Row:
    unit = value["unit"]
    write: Callable[[float | None], str] = format_number
    if unit in ("bytes", "seconds"):
        write = format_size if unit == "bytes" else format_time
    numbers = write(value["value"]), write(value["baseline"])
    if numbers[0] == numbers[1] and value["value"] != value["baseline"]:  # the rounding hides the difference
        numbers = format_number(value["value"]), format_number(value["baseline"])
        unit = ""
    known = value["value"] is not None and value["baseline"] is not None
    difference = format_difference(value["value"], value["baseline"], unit) if known else NONE
    return Name(value["name"]), *numbers, difference


def tabulate_changes(document: Document) -> Table:
    """Modules, files and layers that only one image has, or that have another size in it."""
    changes = document["counters"]["changes"]
    rows = tuple(
        (
            change["what"],
            Name(change["name"]),
            change["change"],
            format_size(change["bytes"]),
            format_size(change["baseline_bytes"]),
        )
        for change in changes
    )
    return Table("Modules, files and layers that changed", ("", "name", "change", "new", "baseline"), rows, (3, 4))


def tabulate_starts(document: Document) -> Table:
    """Every pair of starts."""
    rows = tuple(
        (
            str(pair["pair"]),
            "new" if pair["first"] == "image" else "baseline",
            format_time(pair["image"]["ttfi_seconds"]),
            format_time(old.get("ttfi_seconds")),
            format_ratio(_divide(pair["image"]["ttfi_seconds"], old.get("ttfi_seconds"))),
            format_time(pair["image"]["ready_seconds"]),
            format_time(old.get("ready_seconds")),
        )
        for pair, old in ((pair, pair["baseline"] or {}) for pair in document["starts"])
    )
    head = ("pair", "started first", "new TTFI", "baseline TTFI", "ratio", "new ready", "baseline ready")
    return _leave_out(document, Table("All starts", head, rows, (0, 2, 3, 4, 5, 6)), (1, 3, 4, 6))


def tabulate_layers(document: Document) -> Table:
    """The bytes of each kind of layer, unpacked."""
    new, old = document["image"]["layer_bytes"], (document["baseline"] or {}).get("layer_bytes", {})
    rows = tuple(
        (
            Name(kind),
            format_size(new.get(kind)),
            format_size(old.get(kind)),
            format_difference(new.get(kind), old.get(kind), "bytes"),
        )
        for kind in dict.fromkeys([*new, *old])
    )
    return _leave_out(document, Table("Layers", ("kind", "new", "baseline", "difference"), rows, (1, 2, 3)), (2, 3))


def tabulate_images(document: Document) -> Table:
    """Both images by reference and digest."""
    new, old = document["image"], document["baseline"]
    rows: list[Row] = [
        (title, *(_name_or_none(image[key]) for image in (new, old) if image))
        for title, key in (("reference", "reference"), ("digest", "digest"))
    ]
    rows.append(("size", *(f"{format_number(image['size_bytes'])} bytes" for image in (new, old) if image)))
    if old:
        rows.append(("given as", NONE, Name(old["given"])))
        rows.append(("revision", NONE, _name_or_none(old["revision"])))
    return Table("Images", ("", "new", "baseline") if old else ("", "new"), tuple(rows))


def _name_or_none(text: str | None) -> str:
    return NONE if text is None else Name(text)


def tabulate_machine(document: Document) -> Table:
    """The machine that measured."""
    machine = document["machine"]
    rows = (
        ("processor", _name_or_none(machine["processor"])),
        ("cores", format_number(machine["cores"])),
        ("memory", format_size(machine["memory_bytes"])),
        ("kernel", _name_or_none(machine["kernel"])),
        ("Docker Engine", _name_or_none(machine["engine"])),
        ("load average", format_load(document)),
        ("Prebake", Name(document["prebake"])),
        ("measured", Name(document["created"])),
    )
    return Table("Machine", ("", ""), rows)
