"""A closed-loop HTTP client in a process of its own: each connection sends its next request once its answer is there.

``measure`` starts it. The client is asyncio's protocol class and little more, since it shares the processors with the server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.support.repository import ROOT


class Answer(NamedTuple):
    """``at``: when it was complete, in seconds since the load began. ``work``: the seconds that the model worked on it, by
    Server-Timing; 0 without that header. ``size``: of the body, in bytes."""

    status: int
    seconds: float
    at: float
    work: float
    size: int


@dataclass(frozen=True)
class Load:
    """``pause``: seconds that a connection waits after a status other than 200."""

    path: str
    body: bytes
    connections: int
    seconds: float
    pause: float = 0.0
    content_type: str = "application/json"


def measure(port: int, load: Load) -> list[Answer]:
    """The answers of a server on loopback, the last of each connection included. Raises CalledProcessError if one is closed."""
    command = [sys.executable, "-m", "tests.support.measure.closed_loop"]
    given = {**vars(load), "body": load.body.decode("latin-1"), "port": port}
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True)
    return [Answer(*each) for each in json.loads(done.stdout)]


class Client(asyncio.Protocol):
    def __init__(self, load: Load, began: float, answers: list[Answer]) -> None:
        head = f"POST {load.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {load.content_type}\r\n"
        self._request = f"{head}Content-Length: {len(load.body)}\r\n\r\n".encode() + load.body
        self._load = load
        self._began = began
        self._answers = answers
        self._received = b""
        self._sent = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = [line.partition(b": ") for line in head.split(b"\r\n")]
        headers = {name.lower(): value for name, _, value in lines}
        if len(body) < int(headers[b"content-length"]):
            return
        now, status = time.perf_counter(), int(head[9:12])
        seconds, work = now - self._sent, read_work(headers)
        self._answers.append(Answer(status, seconds, now - self._began, work, len(body)))
        self._received = b""
        if now - self._began >= self._load.seconds:
            self._transport.close()
            self.over.set_result(None)
        elif status != 200 and self._load.pause:
            asyncio.get_running_loop().call_later(self._load.pause, self._send)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(ConnectionError(f"the server closed a connection ({error})"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def read_work(headers: Mapping[bytes, bytes]) -> float:
    """The seconds of ``generate`` in Server-Timing."""
    _, _, text = headers.get(b"server-timing", b"").partition(b"generate;dur=")
    return float(text) / 1e3 if text else 0.0


async def run(port: int, load: Load) -> list[Answer]:
    answers: list[Answer] = []
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    clients = [Client(load, began, answers) for _ in range(load.connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.over for client in clients))
    return answers


def main() -> None:
    given = json.load(sys.stdin)
    port = given.pop("port")
    load = Load(**{**given, "body": given["body"].encode("latin-1")})
    print(json.dumps(asyncio.run(run(port, load))))


if __name__ == "__main__":
    main()
