"""An image offered to the Engine by a read-only registry on loopback, straight from what its blobs are made of.

The pull part of the OCI distribution specification (spec.md, "Pull"). It ends with the block that began it.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prebake.oci.blobs import Blob, Image
from prebake.oci.sending import Outlet, send
from prebake.oci.verified import sized_content

_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<wanted>[^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Served:
    """An image on offer, and what became of the offer.

    ``reference`` is what the Engine is to pull. ``missing`` are the digests that were asked for and are not here,
    ``failures`` what stopped a blob half way: whoever pulled sees no more than that its connection ended.
    """

    def __init__(self, image: Image, name: str, tag: str, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
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
        """Bytes that left, by digest."""
        with self._lock:
            return {digest: sent for digest, sent in self._sent.items() if sent}

    def raise_failure(self) -> None:
        """Raise the first failure, where there was one."""
        if self.failures:
            raise self.failures[0]

    def count(self, digest: str, sent: int) -> None:
        with self._lock:
            self._sent[digest] += sent

    def count_request(self) -> None:
        with self._lock:
            self.requests += 1

    def find(self, name: str, kind: str, wanted: str) -> Blob | str:
        """The blob, or the specification's code of why there is none."""
        if name != self._name or self.failures:  # after a failure nothing is on offer: an Engine would try for a minute
            return "NAME_UNKNOWN"
        blob = (self._manifests if kind == "manifests" else self._blobs).get(wanted)
        if blob is not None and blob.content is not None:
            return blob
        if blob is not None:
            self.missing.add(blob.digest)
        return "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN"


@contextmanager
def serve_image(image: Image, *, name: str, tag: str) -> Iterator[Served]:
    """Offer ``image`` as ``127.0.0.1:<free port>/<name>:<tag>`` while the block runs."""
    with _Server(image, name, tag) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="registry")
        thread.start()
        try:
            yield server.served
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()


class _Server(ThreadingHTTPServer):
    """Its threads end with it: connections that are still open are cut."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, image: Image, name: str, tag: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = Served(image, name, tag, self.server_port)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Called before the connection is closed on a body half sent."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.served.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # else a TLS handshake gets no status line, by which clients know to try http
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self) -> None:
        self.server.served.count_request()
        route = _ROUTE.fullmatch(self.path)
        if self.path in ("/v2", "/v2/"):
            self._answer_document(200, {})
        elif route is None:
            self._answer_error(404, "UNSUPPORTED")
        elif isinstance(found := self.server.served.find(**route.groupdict()), Blob):
            self._answer_blob(found)
        else:
            self._answer_error(404, found)

    def _answer_blob(self, blob: Blob) -> None:
        content = sized_content(blob)
        asked = _read_range(self.headers.get("Range"), blob.size)
        if asked is None:
            self._answer_error(416, "RANGE_INVALID", {"Content-Range": f"bytes */{blob.size}"})
            return
        start, end = asked
        partial = "Range" in self.headers and (start, end) != (0, blob.size)
        headers = {
            "Content-Type": blob.descriptor.media_type,
            "Docker-Content-Digest": blob.digest,
            "Accept-Ranges": "bytes",
            **({"Content-Range": f"bytes {start}-{end - 1}/{blob.size}"} if partial else {}),
        }
        self._begin(206 if partial else 200, end - start, headers)
        if self.command == "GET":
            outlet = Outlet(self.connection, lambda sent: self.server.served.count(blob.digest, sent))
            send(content, outlet, start, end - start)

    def _answer_error(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        """The errors document of the specification ("Error Codes")."""
        self._answer_document(status, {"errors": [{"code": code, "message": f"no {self.path} here"}]}, headers)

    def _answer_document(self, status: int, document: object, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self._begin(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)

    def _begin(self, status: int, size: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """From where to where (exclusive); all of it for a form that is not understood (RFC 9110 section 14.2), None where
    it begins behind the end."""
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return 0, size
    start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
    return (start, end) if start < end else None
