"""The gate's result as text for the console, and in short for the error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prebake.measure.gate_report import rows
from prebake.measure.gate_report.names import clean, join_words
from prebake.measure.gate_report.quantities import format_difference
from prebake.measure.gate_report.rows import Row, Table
from prebake.measure.gate_report.sentences import (
    choose_title,
    describe_check,
    describe_conditions,
    describe_doubt,
    describe_verdict,
)

MOST_PHASES = 12
"""Phases that are listed; the files have all of them."""
Document = Mapping[str, Any]


def format_console(document: Document) -> str:
    """The verdict and why, the figures, what moved, and how it was measured."""
    first, *others = map(join_words, describe_verdict(document))
    blocks = [
        [f"{choose_title(document)}: {first}", *others],
        _write_table(rows.tabulate_measures(document)),
        list(_write_phases(document)),
        list(_write_counters(document["counters"])),
        [describe_conditions(document)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def summarize_failure(document: Document) -> str:
    """The message of the error: the limits that are exceeded, and the phases and counters that moved."""
    lines = [f"{document['model']} exceeds its limits:", *_list_checks(document, "fail")]
    moved = rows.list_moved(document)
    phases = [
        f"{clean(phase['name'])} {format_difference(phase['difference_seconds'], 0.0, 'seconds')}"
        for phase in moved[:MOST_PHASES]
    ]
    if phases:
        more = f" and {len(moved) - MOST_PHASES} more" if len(moved) > MOST_PHASES else ""
        lines.append(f"phases that moved: {', '.join(phases)}{more}")
    lines += [f"counted at one start: {sentence}" for sentence in document["counters"]["sentences"]]
    return "\n  ".join(lines)


def summarize_doubt(document: Document) -> str:
    """The message of the error of an unclear verdict: which checks are unclear, and why."""
    lines = [f"The gate of {document['model']} is unclear:", *_list_checks(document, "unclear")]
    return "\n  ".join([*lines, describe_doubt(document)])


def _list_checks(document: Document, verdict: str) -> list[str]:
    checks = [check for check in document["checks"] if check["verdict"] == verdict]
    return [join_words(describe_check(document, check)) for check in checks]


def _write_phases(document: Document) -> Iterator[str]:
    if not document["baseline"]:
        return
    table = rows.tabulate_phases(document, moved=True)
    if table.rows:
        yield f"{table.title} (medians):"
    yield from _write_table(table)


def _write_counters(counters: Document) -> Iterator[str]:
    if counters["sentences"]:
        yield "Counters that moved (one counted start of each image):"
        yield from (f"  {sentence}" for sentence in counters["sentences"])
    elif not counters["counted"]:
        yield rows.describe_uncounted(counters)


def _write_table(table: Table) -> list[str]:
    """Aligned columns, with the number of the rows that are left out; the table's own text if it has no rows."""
    if not table.rows:
        return [table.empty]
    shown = [tuple(map(clean, row)) for row in (table.head, *table.rows[:MOST_PHASES])]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [_write_row(row, widths, table.numbers) for row in shown]
    if len(table.rows) > MOST_PHASES:
        lines.append(f"  and {len(table.rows) - MOST_PHASES} more, which the files of this gate list")
    return lines


def _write_row(row: Row, widths: Sequence[int], numbers: Sequence[int]) -> str:
    cells = (
        text.rjust(width) if column in numbers else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"  {'   '.join(cells)}".rstrip()
