"""Differences between two JSON documents, by their place in the document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def find_differences(actual: Any, expected: Any, relative_tolerance: float) -> Iterator[str]:
    """Differences of ``actual`` from ``expected``; of each list of values only the first.

    relative_tolerance: allowed difference of two floats, relative to the largest number in ``expected``, or to 1 if that is
        smaller. Everything else must be equal.
    """
    tolerance = relative_tolerance * max([1.0, *map(abs, _numbers(expected))])
    return _differences(actual, expected, tolerance, "")


def _numbers(document: Any) -> Iterator[float]:
    if isinstance(document, (dict, list)):
        for value in document.values() if isinstance(document, dict) else document:
            yield from _numbers(value)
    elif isinstance(document, (int, float)):
        yield float(document)


def _differences(actual: Any, expected: Any, tolerance: float, place: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict) and actual.keys() == expected.keys():
        for name in expected:
            yield from _differences(actual[name], expected[name], tolerance, f"{place}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        yield from _list_differences(actual, expected, tolerance, place)
    elif isinstance(expected, float) and isinstance(actual, (int, float)):
        if not abs(actual - expected) <= tolerance:
            yield f"{place} is {actual:.6g}, expected {expected:.6g}"
    elif actual != expected:
        yield f"{place} is {json.dumps(actual)[:60]}, expected {json.dumps(expected)[:60]}"


def _list_differences(actual: list[Any], expected: list[Any], tolerance: float, place: str) -> Iterator[str]:
    """The first difference of each item; if no item is a list or an object, only the first of all."""
    by_item = (
        _differences(*pair, tolerance, f"{place}[{index}]")
        for index, pair in enumerate(zip(actual, expected, strict=True))
    )
    first_of_each = (first for item in by_item if (first := next(item, None)))
    nested = any(isinstance(item, (dict, list)) for item in expected)
    yield from first_of_each if nested else [*first_of_each][:1]
