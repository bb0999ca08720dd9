"""A server that answers as an Engine does, for answers that a real Engine gives rarely."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prebake.docker.connection import Connection

VERSION = "1.51"


@contextmanager
def stub_engine(answer: Callable[[str], tuple[int, object]]) -> Iterator[Connection]:
    """``answer`` gives the status and the document for a path, such as ``/v1.51/images/json``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asks_version = self.path == "/version"
            status, document = (200, {"ApiVersion": VERSION}) if asks_version else answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Connection(f"tcp://127.0.0.1:{server.server_port}", Path("docker"))
        finally:
            server.shutdown()
