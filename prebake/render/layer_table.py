"""Layers against kinds of change, as a table for people: which layers a change makes again."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prebake.io.byte_sizes import format_bytes
from prebake.io.terminal import Screen

PLACES = (("store", "S"), ("engine", "E"), ("registry", "R"))
PLACE_MARKS = {True: "+", False: "-", None: "?"}
MIN_NAME = 12
SENT_AS_COLUMNS = 94
"""From this width on, the table has the size of the blob too."""


@dataclass(frozen=True)
class Marks:
    """The characters of the table."""

    made: str
    unchanged: str
    line: str
    compiled: str = "c"


def change_table(explained: Mapping[str, Any], screen: Screen) -> list[str]:
    """The table, its legend, and what each change sends; ``explained`` is the document of ``prebake explain``."""
    marks = Marks("●", "·", "│") if screen.blocks else Marks("#", ".", "|")
    layers, changes = explained["layers"], explained["changes"]
    rows, aligned = _left_columns(layers, screen)
    cells = [[_cell(layer["name"], change, marks, screen) for change in changes.values()] for layer in layers]
    last = max((len(_title(name)) - 2 * (len(changes) - number) for number, name in enumerate(changes)), default=0)
    # Two blanks before the marks, two characters for each, and the end of the last title.
    left = _join(rows, aligned, screen.columns - 2 - 2 * len(changes) - max(last, 0))
    lines = [" " * len(left[0]) + "  a change of"]
    lines += [
        " " * len(left[0]) + "  " + f"{marks.line} " * number + _title(name) for number, name in enumerate(changes)
    ]
    lines.append(f"{left[0]}  {' '.join(marks.line for _ in changes)}")
    lines += [f"{text}  {' '.join(row)}" for text, row in zip(left[1:], cells, strict=True)]
    return [*lines, "", *_legend(changes, marks, screen), "", *_sends(changes, screen)]


def _title(change: str) -> str:
    return "base image" if change == "base" else change


def _left_columns(layers: Sequence[Mapping[str, Any]], screen: Screen) -> tuple[list[tuple[str, ...]], str]:
    """The columns left of the changes, with their titles; and for each, whether it is aligned left or right."""
    wide = screen.columns >= SENT_AS_COLUMNS
    letters = " ".join(letter for _, letter in PLACES)
    rows = [("layer", "kind", "size", *(["sent as"] if wide else []), letters)]
    for layer in layers:
        sent = [_bytes(layer["blob_size"])] if wide else []
        places = " ".join(PLACE_MARKS[layer[place]] for place, _ in PLACES)
        rows.append((layer["name"], str(layer["kind"]), _bytes(layer["size"]), *sent, places))
    return rows, "<<>><" if wide else "<<><"


def _join(rows: Sequence[tuple[str, ...]], aligned: str, columns: int) -> list[str]:
    """The rows as lines of one length. Names are shortened to what ``columns`` leave."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = columns - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], max(room, MIN_NAME))
    return [
        "  ".join(
            f"{_shorten(cell, width):{side}{width}}" for cell, width, side in zip(row, widths, aligned, strict=True)
        )
        for row in rows
    ]


def _shorten(name: str, width: int) -> str:
    """The beginning and the end of a name that is too long."""
    if len(name) <= width:
        return name
    kept = width - 2
    return f"{name[: kept // 2]}..{name[len(name) - kept + kept // 2 :]}"


def _cell(layer: str, change: Mapping[str, Any], marks: Marks, screen: Screen) -> str:
    if layer in change["compiled"]:
        return screen.strong(marks.compiled)
    return screen.strong(marks.made) if layer in change["layers"] else screen.dim(marks.unchanged)


def _legend(changes: Mapping[str, Any], marks: Marks, screen: Screen) -> Iterator[str]:
    yield f"{screen.strong(marks.made)} made again and sent   {screen.dim(marks.unchanged)} unchanged"
    if any(change["compiled"] for change in changes.values()):
        yield f"{screen.strong(marks.compiled)} left out until `prebake compile` makes it again"
    yield "S store, E Engine, R registry: + has the layer, - lacks it, ? not known"
    yield "precision, buckets: of the first component in image.yaml"


def _sends(changes: Mapping[str, Any], screen: Screen) -> Iterator[str]:
    """What each change sends."""
    width = max(map(len, changes), default=0)
    yield f"{'A change of':{width + 2}}  sends"
    for name, change in changes.items():
        text = f"  {name:{width}}  {_sent(name, change)}"
        yield from textwrap.wrap(
            text,
            max(screen.columns, 2 * width),
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
            break_long_words=False,
        )


def _sent(name: str, change: Mapping[str, Any]) -> str:
    if not change["layers"]:
        return "nothing"
    sent = "not known before it was built once"
    if change["bytes"] is not None:
        sent = f"at most {format_bytes(change['bytes'])}"
    elif name == "precision":
        sent = "not known: its weights get another size"
    beside = " beside its own layers" if name == "base" else ""
    compiled = f"; {', '.join(change['compiled'])} by `prebake compile`" if change["compiled"] else ""
    return f"{sent}{beside}{compiled}"


def _bytes(size: int | None) -> str:
    return "?" if size is None else format_bytes(size)
