"""The log of a container for people: one line for each JSON object, with the traceback below it if it has one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_ELSEWHERE = frozenset({"time", "level", "event", "traceback", "request_id"})
"""Keys that have a place of their own in a line, and an identifier that is of use to programs."""


def parse_event(line: str) -> dict[str, Any] | None:
    """The JSON object of a line; None if it is something else, such as what native code printed."""
    try:
        event = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def format_line(line: str) -> str:
    """Time of this machine, the event (or a request's method, path and status), its other keys, and a traceback indented."""
    event = parse_event(line)
    if event is None:
        return printable(line)
    words = [_local_time(event.get("time")), *_level(event), *_describe(event)]
    first, *more = " ".join(words).split("\n")
    more += str(event.get("traceback") or "").splitlines()
    return "\n".join([printable(first), *(f"    {printable(each)}" for each in more)])


def printable(text: str) -> str:
    """Without characters that a terminal would obey: clients choose parts of the log."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _local_time(text: object) -> str:
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return "--:--:--"


def _level(event: Mapping[str, Any]) -> list[str]:
    return [f"{event['level']}:"] if event.get("level") in ("warning", "error") else []


def _describe(event: Mapping[str, Any]) -> Iterator[str]:
    rest = {name: value for name, value in event.items() if name not in _ELSEWHERE}
    if event["event"] == "request":
        yield f"{rest.pop('method', None) or '?'} {rest.pop('path', None) or '?'} {rest.pop('status', '?')}"
        if isinstance(seconds := rest.pop("seconds", None), (int, float)):
            yield f"in {seconds:.3f} s"
        rest = {name: value for name, value in rest.items() if name in ("model", "problem", "outcome")}
    elif event["event"] == "fault":
        yield f"fault {rest.pop('exit_code', '?')}: {rest.pop('reason', '?')} {rest.pop('action', '')}".rstrip()
    elif event["event"] == "output":
        yield str(rest.pop("text", ""))
    else:
        yield event["event"]
    yield from (f"{name}={_value(value)}" for name, value in rest.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value, ensure_ascii=False)
