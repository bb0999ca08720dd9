"""A client that reads server-sent events as they arrive."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.container.running import PATIENCE, Server

PLAIN = {"values": "1,2,3,4"}
ACCEPT = {"accept": "text/event-stream"}


class Event(NamedTuple):
    """A comment has no name, and its text as data."""

    name: str
    data: Any


class Stream:
    """A request whose events are read one by one: nothing is read ahead of what is asked for."""

    def __init__(self, server: Server, form: dict[str, Any], receive_buffer: int = 0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.sock = socket.socket()
        self._connection.sock.settimeout(PATIENCE)
        if receive_buffer:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._connection.sock.connect(("127.0.0.1", server.port))
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        self._connection.request("POST", "/generate", json.dumps({**PLAIN, **form}), headers)
        self.response = self._connection.getresponse()

    def read(self) -> Event | None:
        """The next event or comment; None at the end."""
        name, data = "", []
        while line := self.response.readline().decode():
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
            elif line == "\n":
                return Event(name, json.loads("\n".join(data)) if name else "\n".join(data))
            else:
                assert (key, name) == ("", ""), f"neither a field nor a comment: {line!r}"
                data.append(value)
        return None

    def read_news(self) -> Event | None:
        """The next event that is no comment."""
        return next((event for event in iter(self.read, None) if event.name), None)

    def read_all(self) -> list[Event]:
        return list(iter(self.read_news, None))

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@contextlib.contextmanager
def streaming(server: Server, manner: str, **options: Any) -> Iterator[Stream]:
    stream = Stream(server, {"manner": manner}, **options)
    try:
        yield stream
    finally:
        stream.close()


def error_of(stream: Stream) -> tuple[int, str]:
    """Status and message of the only event that is left."""
    (event,) = stream.read_all()
    assert event.name == "error"
    return event.data["status"], event.data["error"]["message"]
