"""Which answers and which lines of the log a container may give, whatever a client sends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

INTENDED_ERRORS = frozenset({501, 503, 504, 505})
"""Statuses of the server that a request may get: an unknown Transfer-Encoding, a full queue or budget of memory, a deadline, an
unknown version of HTTP. 500 and 502 would be a fault of the server or of its model."""


def judge_answer(method: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if status >= 500 and status not in INTENDED_ERRORS:
        return f"status {status}"
    if status == 503 and "retry-after" not in headers:
        return "status 503 without Retry-After"
    if status >= 400 and method != "HEAD" and not is_error(body):
        return f"status {status} whose body is no JSON with an error"
    if headers.get("content-type", "").startswith("text/event-stream"):
        return judge_events(body)
    return ""


def is_error(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and "error" in document


def judge_events(body: bytes) -> str:
    """A stream ends with one answer or one error, whose status is judged as that of a plain answer."""
    *_, last = body.decode(errors="replace").strip().split("\n\n")
    name, _, data = last.partition("\n")
    if name == "event: answer":
        return ""
    if name != "event: error":
        return f"an event stream that ends with {name!r}"
    status = json.loads(data.removeprefix("data: "))["status"]
    return f"an event stream with status {status}" if status >= 500 and status not in INTENDED_ERRORS else ""


def judge_log(lines: Iterable[str]) -> Counter[str]:
    """What is wrong with the lines of a container's log, and how often. Each is JSON with ``time``, ``level`` and ``event``, and
    none is an error: no client can cause one."""
    found: Counter[str] = Counter()
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            found[f"a line of the log that is no JSON: {line[:200]}"] += 1
            continue
        if not isinstance(entry, dict) or not {"time", "level", "event"} <= entry.keys():
            found["a line of the log without time, level or event"] += 1
        elif entry["level"] == "error":
            found[
                f"a line of the log of level error: {entry['event']}: {entry.get('error', entry.get('text', ''))}"[:300]
            ] += 1
    return found


def judge_counts(metrics: Mapping[str, float]) -> list[str]:
    """Statuses that the server itself counted, those of clients that had left included. ``metrics``: samples by name and
    labels."""
    return [f"the server counts {value:g} as {name}" for name, value in metrics.items() if value and is_fault(name)]


def is_fault(name: str) -> bool:
    """Whether a sample counts requests under a status that no request may get."""
    if not name.startswith("prebake_requests_total") or 'status="5' not in name:
        return False
    return not any(f'status="{status}"' in name for status in INTENDED_ERRORS)
