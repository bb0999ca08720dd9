"""Checks of JSON values that report every problem with its place instead of stopping at the first.

A check takes the value, its place in the document and the list of problems. It returns the value and appends every problem
that it finds. The value may be used if the list is still empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

Check = Callable[[Any, str, list[str]], Any]


def suggest(word: str, known: Sequence[str]) -> str:
    """`` (did you mean "x"?)``, or an empty string."""
    close = get_close_matches(word, known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def describe(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def typed(kind: type | tuple[type, ...], name: str, accept: Callable[[Any], bool] | None = None) -> Check:
    """A value of this type for which ``accept`` is true. A boolean is not a number. ``name``: text for messages."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            problems.append(f"{where}: should be {name}, is {describe(value)}")
        elif accept is not None and not accept(value):
            problems.append(f"{where}: should be {name}, is {str(value)[:80]!r}")
        return value

    return check


def matching(pattern: str, name: str) -> Check:
    return typed(str, name, lambda value: re.fullmatch(pattern, value) is not None)


def one_of(*known: str) -> Check:
    def check(value: Any, where: str, problems: list[str]) -> Any:
        if value not in known if isinstance(value, str) else True:
            hint = suggest(value, known) if isinstance(value, str) else ""
            problems.append(f"{where}: should be one of {', '.join(known)}{hint}")
        return value

    return check


def listing(item: Check, *, minimum: int = 0) -> Check:
    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, list) or len(value) < minimum:
            problems.append(f"{where}: should be a list{' with something in it' if minimum else ''}")
            return []
        return [item(entry, f"{where}[{index}]", problems) for index, entry in enumerate(value)]

    return check


def nullable(item: Check) -> Check:
    """A value that passes ``item``, or null."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        return None if value is None else item(value, where, problems)

    return check


def row(*items: Check) -> Check:
    """A list with one value for each item, in this order."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            problems.append(f"{where}: should be a list of {len(items)}")
            return []
        return [
            item(entry, f"{where}[{index}]", problems)
            for index, (item, entry) in enumerate(zip(items, value, strict=True))
        ]

    return check


def mapping(key: Check, item: Check, *, minimum: int = 0) -> Check:
    """An object with any keys that pass ``key``."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, dict) or len(value) < minimum:
            problems.append(f"{where}: should be an object{' with something in it' if minimum else ''}")
            return {}
        for name in value:
            key(name, f"{where}: the name", problems)
        return {name: item(entry, f"{where}.{name}", problems) for name, entry in value.items()}

    return check


def record(keys: Mapping[str, Check], optional: Mapping[str, Check] = MappingProxyType({})) -> Check:
    """An object with all of ``keys``, any of ``optional``, and no others."""
    known = {**keys, **optional}

    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, dict):
            problems.append(f"{where or 'the document'}: should be an object, is {describe(value)}")
            return {}
        dot = f"{where}." if where else ""
        problems += [f"{dot}{key}: is missing" for key in keys if key not in value]
        problems += [f"{dot}{key}: is not known{suggest(key, list(known))}" for key in value if key not in known]
        return {key: item(value[key], f"{dot}{key}", problems) for key, item in known.items() if key in value}

    return check


def either(key: str, there: Check, absent: Check) -> Check:
    """An object that passes ``there`` if it has ``key``, else ``absent``."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        chosen = there if isinstance(value, dict) and key in value else absent
        return chosen(value, where, problems)

    return check


def anything(value: Any, _where: str, _problems: list[str]) -> Any:
    return value
