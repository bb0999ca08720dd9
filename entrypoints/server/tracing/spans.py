"""Spans, and their encoding as OTLP's JSON (opentelemetry-proto, ``trace/v1/trace.proto``)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

INTERNAL, SERVER = 1, 2
"""SPAN_KIND_INTERNAL, SPAN_KIND_SERVER"""
ERROR = 2
"""STATUS_CODE_ERROR"""
SAMPLED, HAS_REMOTE, IS_REMOTE = 0x001, 0x100, 0x200
"""Flags of a span: the W3C trace flag; whether the next one says something; whether the parent is in another process."""
Attributes = Mapping[str, str | int | float | bool]


class Span(NamedTuple):
    """Ids are in lower-case hexadecimal; ``parent`` is empty for a root. Times are nanoseconds since the epoch. ``error``: what
    went wrong, None if nothing did."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    attributes: Attributes
    error: str | None = None
    remote_parent: bool = False


def make_span_id() -> str:
    return os.urandom(8).hex()


def make_trace_id() -> str:
    return os.urandom(16).hex()


def encode(resource: Attributes, scope_version: str, spans: Sequence[Span]) -> bytes:
    """An ExportTraceServiceRequest."""
    scope = {"name": "prebake", "version": scope_version}
    scoped = {"scope": scope, "spans": [describe(span) for span in spans]}
    document = {"resourceSpans": [{"resource": {"attributes": describe_attributes(resource)}, "scopeSpans": [scoped]}]}
    return json.dumps(document, separators=(",", ":")).encode()


def describe(span: Span) -> dict[str, Any]:
    described: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(max(span.start, span.end)),
        "attributes": describe_attributes(span.attributes),
        "flags": SAMPLED | HAS_REMOTE | (IS_REMOTE if span.remote_parent else 0),
    }
    if span.parent:
        described["parentSpanId"] = span.parent
    if span.error is not None:
        described["status"] = {"code": ERROR, "message": span.error}
    return described


def describe_attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": name, "value": describe_value(value)} for name, value in attributes.items()]


def describe_value(value: str | float) -> dict[str, Any]:
    """An AnyValue. 64-bit integers are text in the JSON of Protocol Buffers."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
