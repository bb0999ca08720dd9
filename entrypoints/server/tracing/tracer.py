"""Decides which requests are traced, and makes their spans once they have ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from entrypoints.server.http.access_log import CLIENT_CLOSED_REQUEST, RequestRecord
from entrypoints.server.http.request_identity import read_traceparent
from entrypoints.server.tracing.exporter import Exporter
from entrypoints.server.tracing.settings import TraceSettings
from entrypoints.server.tracing.spans import INTERNAL, SERVER, Attributes, Span, make_span_id, make_trace_id

if TYPE_CHECKING:
    from entrypoints.server.generate import Call

GRPC_STATUS = "grpc_status"
"""The name of a call's status in the details of its record."""
GRPC_CODES = {
    name: code
    for code, name in enumerate(
        [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
    )
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""The methods that the semantic conventions know. Any other becomes ``_OTHER``, as a client may write anything."""


class Trace(NamedTuple):
    """The trace that a request belongs to. ``parent``: the caller's span, empty without one."""

    trace_id: str
    span_id: str
    parent: str
    sampled: bool


class Tracer:
    def __init__(
        self, settings: TraceSettings, describe_resource: Callable[[], Attributes], counts: Counter[str]
    ) -> None:
        self.exporter = Exporter(settings, describe_resource, counts)
        self._settings = settings

    def begin(self, headers: Sequence[tuple[bytes, bytes]], details: dict[str, Any]) -> Trace:
        """Begin the trace of a request with these headers, or of a call with this metadata. The lines of the log about it get its
        ``trace_id``, which the caller or this server chose."""
        parent = read_traceparent(headers)
        trace_id = parent.trace_id if parent else make_trace_id()
        caller_decides = parent is not None and self._settings.parent_based
        sampled = parent.sampled if parent and caller_decides else self.samples(trace_id)
        details["trace_id"] = trace_id
        return Trace(trace_id, make_span_id(), parent.span_id if parent else "", sampled)

    def samples(self, trace_id: str) -> bool:
        """Decides by the random part of the id, so that all servers of a trace decide alike (W3C Trace Context, level 2)."""
        return int(trace_id[-14:], 16) < self._settings.ratio * 2**56

    def record(self, record: RequestRecord) -> None:
        """Health checks and ``/metrics`` have no span."""
        trace = record.state.get("trace")
        if trace is not None and trace.sampled and not record.is_probe:
            self.exporter.add(make_request_spans(trace, record, time.time_ns() - time.monotonic_ns(), time.monotonic()))


def make_request_spans(trace: Trace, record: RequestRecord, epoch: int, end: float) -> list[Span]:
    """The server's span, then its children. ``epoch``: what the monotonic clock, which all times here are by, is behind the time
    since 1970, in nanoseconds. ``end``: of the request."""

    def at(seconds: float) -> int:
        return epoch + int(seconds * 1e9)

    start = end - record.seconds
    method = record.method if record.method in METHODS else "_OTHER"
    route = record.state.get("route", "")
    failed = record.outcome >= 500 or record.outcome == CLIENT_CLOSED_REQUEST
    is_call = GRPC_STATUS in record.details
    name = route.lstrip("/") if is_call else f"{'HTTP' if method == '_OTHER' else method} {route}".strip()
    server = Span(
        trace.trace_id,
        trace.span_id,
        trace.parent,
        name,
        SERVER,
        at(start),
        at(end),
        describe_call(record, route) if is_call else describe_request(record, method, route),
        f"status {record.outcome}" if failed else None,
        bool(trace.parent),
    )
    call = record.state.get("call")
    stretches = list_stretches(call, start, end) if call is not None else []
    children = [
        Span(trace.trace_id, make_span_id(), trace.span_id, child, INTERNAL, at(begun), at(ended), {})
        for child, begun, ended in stretches
    ]
    return [server, *children]


def describe_request(record: RequestRecord, method: str, route: str) -> Attributes:
    """Attributes by the semantic conventions of HTTP. Of what the client wrote, they have the request id and nothing else."""
    attributes: dict[str, Any] = {
        "http.request.method": method,
        "url.scheme": "http",
        "http.request.size": record.bytes_in,
        "http.response.size": record.bytes_out,
        "prebake.request_id": record.details["request_id"],
    }
    if route:
        attributes["http.route"] = route
    if record.status != CLIENT_CLOSED_REQUEST:
        attributes["http.response.status_code"] = record.status
    if record.outcome == CLIENT_CLOSED_REQUEST:
        attributes["error.type"] = "client_disconnected"
    elif record.outcome >= 500:
        attributes["error.type"] = str(record.outcome)
    if model := record.state.get("model"):
        attributes["prebake.model"] = model
    return attributes


def describe_call(record: RequestRecord, route: str) -> Attributes:
    """Attributes by the semantic conventions of gRPC. ``route``: ``/SERVICE/METHOD``, or ``other``."""
    status: str = record.details[GRPC_STATUS]
    service, _, name = route.lstrip("/").rpartition("/")
    attributes: dict[str, Any] = {
        "rpc.system": "grpc",
        "rpc.method": name,
        "rpc.grpc.status_code": GRPC_CODES[status],
        "prebake.request_id": record.details["request_id"],
    }
    if service:
        attributes["rpc.service"] = service
    if status != "OK":
        attributes["error.type"] = status
    if model := record.state.get("model"):
        attributes["prebake.model"] = model
    return attributes


def list_stretches(call: Call, start: float, end: float) -> list[tuple[str, float, float]]:
    """Name, begin and end of what happened to a request for an inference."""
    stretches = [("receive", start, call.received or end)]
    inference = call.inference
    if inference is None:
        return stretches
    if inference.began:
        stretches.append(("queue", inference.began - inference.started.result(), inference.began))
        ended = inference.began + inference.seconds if inference.response.done() else end
        stretches.append(("generate", inference.began, min(ended, end)))
    elif not inference.response.done():  # it still waited when its client or its time was gone
        stretches.append(("queue", inference.created, end))
    return stretches


def describe_resource(settings: TraceSettings, default_name: str, attributes: Mapping[str, str]) -> Attributes:
    """Attributes of the resource. Those that the operator has set replace ``attributes``."""
    return {"service.name": default_name, **attributes, **settings.resource}
