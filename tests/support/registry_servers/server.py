"""Servers on loopback that remember what they were asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]


class Server:
    """A server on loopback that remembers the requests."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[Seen] = []

    def requests(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and path in seen.path]

    def answer(self, handler: Handler) -> None:
        raise NotImplementedError

    def let_go(self) -> None:
        """Of requests that it holds on to: it is about to end."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, headers: Mapping[str, str] | None = None, data: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def served(server: Server) -> Iterator[None]:
    """Run a server on a free port for the length of a block."""

    class Bound(Handler):
        def handle_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.seen.append(Seen(self.command, self.path, headers))
            try:
                server.answer(self)
            except OSError:  # whoever asked, or the registry behind, went away
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away in the middle is what these tests are about."""

    listener = Listener(("127.0.0.1", 0), Bound)
    server.address = f"127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.let_go()
        listener.shutdown()
        listener.server_close()
        thread.join()
