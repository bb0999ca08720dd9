"""An HTTP server of the test on loopback, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLL_SECONDS = 0.01
"""How often the server looks for its shutdown. ``serve_forever`` would look every half second, which each test would wait for."""


class QuietHandler(BaseHTTPRequestHandler):
    """Writes no line to stderr for each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving_http(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a server that handles requests until the block ends. ``handler``: as ``http.server`` calls it."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True  # a connection that a client keeps open holds up no test
