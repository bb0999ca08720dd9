"""A real web server on loopback that serves files by range, and misbehaves once for each fault it is given."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.http_server import QuietHandler, serving_http


@dataclass(frozen=True)
class Fault:
    """What one request gets: ``status`` replaces the answer, ``cut`` closes and ``stall`` holds after so many bytes."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: int | None = None


@dataclass
class Seen:
    """A request as it arrived, and how many bytes of the body were sent for it."""

    method: str
    path: str
    headers: dict[str, str]
    sent: int = 0


class WebServer:
    """Files by path (no leading host), with strong ETags. ``ranges`` False: the Range header is ignored."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.extra: dict[str, dict[str, str]] = {}
        self.faults: dict[str, deque[Fault]] = {}
        self.ranges = True
        self.etags = True
        self.seen: list[Seen] = []
        self.release = threading.Event()
        self.stalling = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, deque()).extend(faults)

    def requests(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.partition("?")[0] == path]

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        path = seen.path.partition("?")[0]
        waiting = self.faults.get(path)
        fault = waiting.popleft() if waiting else Fault()
        if fault.status is not None:
            self._send(handler, seen, fault.status, dict(fault.headers), b"", fault)
        elif path in self.redirects:
            headers = {"Location": self.redirects[path], **self.extra.get(path, {})}
            self._send(handler, seen, 302, headers, b"", fault)
        elif path in self.files:
            self._send_file(handler, seen, path, fault)
        else:
            self._send(handler, seen, 404, self.extra.get(path, {}), b"", fault)

    def _send_file(self, handler: BaseHTTPRequestHandler, seen: Seen, path: str, fault: Fault) -> None:
        body = self.files[path]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        headers = {**({"ETag": etag} if self.etags else {}), **self.extra.get(path, {}), **fault.headers}
        wanted = seen.headers.get("range", "")
        same = seen.headers.get("if-range", etag) == etag
        if not (self.ranges and wanted and same):
            self._send(handler, seen, 200, headers, body, fault)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1, len(body)) if last else len(body)
        if start >= len(body):
            self._send(handler, seen, 416, {"Content-Range": f"bytes */{len(body)}"}, b"", fault)
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        self._send(handler, seen, 206, headers, body[start:end], fault)

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        seen: Seen,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        fault: Fault,
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        part = body if fault.cut is None and fault.stall is None else body[: fault.cut or fault.stall or 0]
        if handler.command != "HEAD":
            seen.sent = len(part)  # before, as whoever asked may look as soon as it has them
            handler.wfile.write(part)
        if fault.stall is not None:
            self.stalling.set()
            self.release.wait(60)
        if fault.cut is not None or fault.stall is not None:
            handler.close_connection = True


@contextmanager
def serve(server: WebServer | None = None) -> Iterator[WebServer]:
    """Run a server on a free port for the length of a block."""
    web = server or WebServer()

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            web.seen.append(seen)
            try:
                web.answer(self, seen)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_HEAD = do_POST = handle_any

    with serving_http(Handler) as web.port:
        try:
            yield web
        finally:
            web.release.set()
