"""Which request this is: its id, and the trace that it belongs to. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class TraceParent(NamedTuple):
    """The caller's span, in lower-case hexadecimal (W3C Trace Context, section 3.2)."""

    trace_id: str
    span_id: str
    sampled: bool


def choose_request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The client's ``X-Request-Id`` if it can be written to a log and a header as it is; otherwise a random one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return os.urandom(16).hex()


def read_traceparent(headers: Sequence[tuple[bytes, bytes]]) -> TraceParent | None:
    """None if there is none, there are several, or it is not valid."""
    values = [value for name, value in headers if name == b"traceparent"]
    return parse_traceparent(values[0]) if len(values) == 1 else None


def parse_traceparent(value: bytes) -> TraceParent | None:
    match = TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    later_fields = rest is not None and version == b"00"  # only later versions may have more fields
    if version == b"ff" or later_fields or not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceParent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & 1))


def describe_request(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """What every line of the log about the request has: ``request_id``, and ``trace_id`` if there is one."""
    trace = read_traceparent(headers)
    return {"request_id": choose_request_id(headers), **({"trace_id": trace.trace_id} if trace else {})}
