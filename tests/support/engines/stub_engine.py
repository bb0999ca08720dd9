"""A server that answers as an Engine does, for answers that a real Engine gives rarely."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.docker.connection import Connection
from tests.support.http_server import QuietHandler, serving_http

VERSION = "1.51"


@contextmanager
def stub_engine(answer: Callable[[str], tuple[int, object]]) -> Iterator[Connection]:
    """``answer`` gives the status and the document for a path, such as ``/v1.51/images/json``."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asks_version = self.path == "/version"
            status, document = (200, {"ApiVersion": VERSION}) if asks_version else answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving_http(Handler) as port:
        yield Connection(f"tcp://127.0.0.1:{port}", Path("docker"))
