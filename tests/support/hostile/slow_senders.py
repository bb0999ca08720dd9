"""Many connections that send one byte at a time, each again after the server has ended it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator

from tests.support.hostile.message import Target, encode

ROUND_SECONDS = 0.5
"""In this time each connection sends one byte."""


class SlowSenders:
    """``opened``: connections so far; ``ended``: those that the server has ended."""

    def __init__(self, port: int, target: Target, connections: int, seed: int) -> None:
        self._port = port
        self._draw = random.Random(seed)
        body = b'{"%s": "%s"}' % (target.fields[0].encode(), b"slowly " * 1000)
        self._content = encode("POST", "/generate", body, Content_Type="application/json")
        self._body = self._content.index(b"\r\n\r\n") + 4
        self._open: dict[socket.socket, int] = {}
        self._connections = connections
        self.opened = 0
        self.ended = 0

    def send_round(self) -> None:
        """One byte on each connection, after those that are missing have been opened."""
        while len(self._open) < self._connections:
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), 10)
            except OSError:
                break
            connection.setblocking(False)
            self.opened += 1
            # Half of them are slow from the first byte of the head on, half of them once the body begins.
            begin = self._draw.choice((1, self._body))
            self._open[connection] = begin
            connection.send(self._content[:begin])
        for connection, sent in list(self._open.items()):
            try:
                connection.send(self._content[sent : sent + 1])
                self._open[connection] = sent + 1
                if not connection.recv(65536):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                self.ended += 1
                del self._open[connection]
                connection.close()

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()


@contextlib.contextmanager
def sending_slowly(port: int, target: Target, connections: int, seed: int) -> Iterator[SlowSenders]:
    """While the block lasts, in a thread."""
    senders, over = SlowSenders(port, target, connections, seed), threading.Event()

    def work() -> None:
        while not over.is_set():
            senders.send_round()
            over.wait(ROUND_SECONDS)
        senders.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield senders
    finally:
        over.set()
        thread.join(30)
