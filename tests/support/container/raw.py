"""A client that sends bytes as they are, and reads one response at a time."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.container.running import PATIENCE, Server

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes, *headers: str) -> bytes:
    """A request for the tiny model, in one piece."""
    lines = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return b"POST /generate HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


class RawResponse(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """Of an error."""
        return str(json.loads(self.body)["error"]["message"])


class RawClient:
    def __init__(self, server: Server, timeout: float = PATIENCE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        self._received = b""

    def send(self, data: bytes) -> RawClient:
        self.socket.sendall(data)
        return self

    def end(self) -> RawClient:
        """Send no more, and still read."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def read(self, *, head: bool = False) -> RawResponse:
        """The next response, also an interim one. ``head``: the answer to a HEAD request, which has no body."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        encoded, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = encoded.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for field in fields:
            name, _, value = field.partition(": ")
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value
        status = int(line.split(" ")[1])
        length = 0 if head or status in (100, 204) else int(headers["content-length"])
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return RawResponse(status, headers, body)

    def read_rest(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(EOFError):
            while True:
                self._receive()
        rest, self._received = self._received, b""
        return rest

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, without one more byte."""
        return self.read_rest() == b""

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed the connection after {self._received!r}")
        self._received += data


@contextlib.contextmanager
def connected(server: Server, **options: Any) -> Iterator[RawClient]:
    client = RawClient(server, **options)
    try:
        yield client
    finally:
        client.close()


def ask(server: Server, request: bytes, **options: Any) -> RawResponse:
    """The answer to one request on a connection of its own."""
    with connected(server) as client:
        return client.send(request).read(**options)
