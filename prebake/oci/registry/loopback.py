"""A read-only registry, by default on loopback, from which an Engine pulls one image; it sends blobs directly from their files.

It implements the pull part of the OCI distribution specification (spec.md, "Pull"), and stops with the block that started it.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prebake.oci.blobs.blobs import Blob, Image
from prebake.oci.blobs.verification import sized_content
from prebake.oci.transfer.sendfile import SocketWriter, send

LOOPBACK = "127.0.0.1"
_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<target>[^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class ServedImage:
    """The image that is served, and what happened to its requests.

    ``reference`` is the name that the Engine pulls. ``missing`` are digests of requested blobs without content. ``failures`` are
    exceptions that stopped a blob half way, of which the client only sees that its connection ended.
    """

    def __init__(self, image: Image, name: str, tag: str, address: str) -> None:
        self.address = address
        self.reference = f"{self.address}/{name}:{tag}"
        self.missing: set[str] = set()
        self.failures: list[BaseException] = []
        self.requests = 0
        self._name = name
        self._manifests = dict.fromkeys((tag, image.digest), image.manifest)
        self._blobs = {blob.digest: blob for blob in image.blobs}
        self._sent: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def sent(self) -> Mapping[str, int]:
        """Bytes that were sent, by digest."""
        with self._lock:
            return {digest: sent for digest, sent in self._sent.items() if sent}

    def raise_failure(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failures:
            raise self.failures[0]

    def count(self, digest: str, sent: int) -> None:
        with self._lock:
            self._sent[digest] += sent

    def count_request(self) -> None:
        with self._lock:
            self.requests += 1

    def find(self, name: str, kind: str, target: str) -> Blob | str:
        """The blob, or the specification's error code if there is none."""
        if name != self._name or self.failures:  # after a failure nothing is served: an Engine would try for a minute
            return "NAME_UNKNOWN"
        blob = (self._manifests if kind == "manifests" else self._blobs).get(target)
        if blob is not None and blob.content is not None:
            return blob
        if blob is not None:
            self.missing.add(blob.digest)
        return "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN"


@contextmanager
def serve_image(image: Image, *, name: str, tag: str, host: str = LOOPBACK) -> Iterator[ServedImage]:
    """Serve ``image`` as ``<host>:<free port>/<name>:<tag>`` while the block runs. ``host`` is an address of the network
    namespace that the calling thread is in as the block begins."""
    with _Server(image, name, tag, host) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="registry")
        thread.start()
        try:
            yield server.served
        finally:
            server.shutdown()
            thread.join()
            server.close_connections()


class _Server(ThreadingHTTPServer):
    """Its threads end with it, since connections that are still open are closed."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, image: Image, name: str, tag: str, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.served = ServedImage(image, name, tag, f"{host}:{self.server_port}")
        self._open: set[socket.socket] = set()

    def server_bind(self) -> None:
        """Without the base class's search for the host's name, which may ask a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Called before the connection of an unfinished body is closed."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.served.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = (
        "HTTP/1.1"  # otherwise a TLS handshake gets no status line, by which clients learn to use http
    )
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _respond(self) -> None:
        self.server.served.count_request()
        route = _ROUTE.fullmatch(self.path)
        if self.path in ("/v2", "/v2/"):
            self._send_document(200, {})
        elif route is None:
            self._send_error(404, "UNSUPPORTED")
        elif isinstance(blob := self.server.served.find(**route.groupdict()), Blob):
            self._send_blob(blob)
        else:
            self._send_error(404, blob)

    def _send_blob(self, blob: Blob) -> None:
        content = sized_content(blob)
        byte_range = _read_range(self.headers.get("Range"), blob.size)
        if byte_range is None:
            self._send_error(416, "RANGE_INVALID", {"Content-Range": f"bytes */{blob.size}"})
            return
        start, end = byte_range
        partial = "Range" in self.headers and (start, end) != (0, blob.size)
        headers = {
            "Content-Type": blob.descriptor.media_type,
            "Docker-Content-Digest": blob.digest,
            "Accept-Ranges": "bytes",
            **({"Content-Range": f"bytes {start}-{end - 1}/{blob.size}"} if partial else {}),
        }
        self._send_headers(206 if partial else 200, end - start, headers)
        if self.command == "GET":
            writer = SocketWriter(self.connection, lambda sent: self.server.served.count(blob.digest, sent))
            send(content, writer, start, end - start)

    def _send_error(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        """The errors document of the specification ("Error Codes")."""
        self._send_document(status, {"errors": [{"code": code, "message": f"no {self.path} here"}]}, headers)

    def _send_document(self, status: int, document: object, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self._send_headers(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)

    def _send_headers(self, status: int, size: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a Range header. A form that is not supported stands for all bytes (RFC 9110 section 14.2);
    None if the range begins after the end."""
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return 0, size
    start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    return (start, end) if start < end else None
