"""Quantities of the gate's document as text, each with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prebake.io.byte_sizes import format_bytes

NONE = "–"
"""In place of a value that there is not."""

Ends = Sequence[float | None]
"""The two ends of an interval; None if an end is unbounded."""


def format_value(value: float | None, unit: str) -> str:
    """A value with its unit: ``1.46 times``, ``0.590 s``, ``1.4 GiB``, ``143 modules``."""
    if value is None:
        return NONE
    if unit == "times":
        return f"{value:.2f} times"
    if unit == "seconds":
        return format_time(value)
    if unit == "bytes":
        return format_size(value)
    return f"{format_number(value)} {unit}".rstrip()


def format_time(seconds: float | None) -> str:
    """To the millisecond below 10 s."""
    return NONE if seconds is None else f"{seconds:.{3 if abs(seconds) < 10 else 2}f} s"


def format_size(size: float | None) -> str:
    if size is None:
        return NONE
    return f"-{format_bytes(round(-size))}" if size < 0 else format_bytes(round(size))


def format_number(value: float | None) -> str:
    """With spaces between groups of three digits."""
    if value is None:
        return NONE
    whole = float(value).is_integer()
    return f"{int(value):,}".replace(",", " ") if whole else f"{value:,.2f}".replace(",", " ")


def format_difference(new: float | None, old: float | None, unit: str) -> str:
    """``new`` minus ``old`` with its sign. A value that is missing counts as 0."""
    change = (new or 0) - (old or 0)
    if unit == "seconds":
        change = round(change, 3) + 0.0  # of -0.0002 it makes 0.0
        return f"{'+' if change > 0 else ''}{format_time(change)}"
    sign = "+" if change > 0 else ""
    return f"{sign}{format_size(change)}" if unit == "bytes" else f"{sign}{format_number(change)}"


def format_ratio(value: float | None, digits: int = 2) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def format_interval(ends: Ends | None, digits: int = 2, *, sign: bool = False) -> str:
    """``1.33 to 1.58``; in words if an end is unbounded. Empty if there is no interval. With ``sign``, ``+0.29 to +0.31``."""
    if ends is None:
        return ""
    low, high = ends
    if low is None and high is None:
        return "too few pairs for an interval"
    form = f"{'+' if sign else ''}.{digits}f"
    if low is None or high is None:
        return f"at most {high:{form}}" if low is None else f"at least {low:{form}}"
    return f"{low:{form}} to {high:{form}}"


def invert(ends: Ends) -> tuple[float | None, float | None]:
    """The interval of 1 divided by the value."""
    low, high = ends
    return (1 / high if high else None), (1 / low if low else None)


def in_parentheses(text: str) -> str:
    """With a space before it; empty if ``text`` is."""
    return f" ({text})" if text else ""


def format_load(document: Mapping[str, Any]) -> str:
    """The load averages of a minute around the measurement: ``0.4 before and 1.2 after``."""
    load = document["machine"]["load_average"]
    return f"{load['before']:.1f} before and {load['after']:.1f} after"
