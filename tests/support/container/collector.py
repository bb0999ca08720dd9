"""A collector of OpenTelemetry: a real HTTP server that reads traces as opentelemetry-proto does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.support.container.running import wait_until
from tests.support.http_server import QuietHandler, serving_http


class Received(NamedTuple):
    """A span, in the words of the protocol; ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    start: int
    end: int
    flags: int
    attributes: Mapping[str, Any]
    status: int
    message: str
    resource: Mapping[str, Any]


class Collector:
    """``answers``: the statuses of the next exports; 200 after the last one."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.spans: list[Received] = []
        self.release = threading.Event()
        """Until it is set, nothing is answered."""
        self.release.set()
        self.content = b"{}"
        """Of each answer."""
        self.byte_seconds = 0.0
        """The time that each byte of it takes."""
        self.url = ""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.requests.append((path, headers, body))
        self.release.wait()
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.spans += read_spans(body)
        return status

    def wait_for(self, *names: str) -> list[Received]:
        """The spans, once there is one of each name."""
        wait_until(lambda: set(names) <= {span.name for span in self.spans}, f"{names}: {self.spans}")
        return self.spans

    def find(self, name: str) -> Received:
        self.wait_for(name)
        return next(span for span in self.spans if span.name == name)


def read_spans(body: bytes) -> Sequence[Received]:
    """Raises ParseError for a name or a value that the protocol does not have."""
    import json

    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    document = json.loads(body)
    for span in (span for each in document["resourceSpans"] for scope in each["scopeSpans"] for span in scope["spans"]):
        for name in {"traceId", "spanId", "parentSpanId"} & set(
            span
        ):  # hexadecimal in OTLP, base64 in protobuf's own JSON
            assert len(bytes.fromhex(span[name])) == (16 if name == "traceId" else 8)
    message = ParseDict(document, ExportTraceServiceRequest())
    return [
        Received(
            span.name,
            span.kind,
            described["traceId"],
            described["spanId"],
            described.get("parentSpanId", ""),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.flags,
            read_attributes(span.attributes),
            span.status.code,
            span.status.message,
            read_attributes(each.resource.attributes),
        )
        for each, raw in zip(message.resource_spans, document["resourceSpans"], strict=True)
        for scope, raw_scope in zip(each.scope_spans, raw["scopeSpans"], strict=True)
        for span, described in zip(scope.spans, raw_scope["spans"], strict=True)
    ]


def read_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = collector.take(self.path, headers, self.rfile.read(int(headers["content-length"])))
            with contextlib.suppress(OSError):  # it no longer waits
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                for number in range(len(collector.content)):
                    self.wfile.write(collector.content[number : number + 1])
                    time.sleep(collector.byte_seconds)

    with serving_http(Handler) as port:
        collector.url = f"http://127.0.0.1:{port}"
        try:
            yield collector
        finally:
            collector.release.set()
