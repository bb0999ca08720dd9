"""Slow and silent clients: each limit ends one, and none of them holds what others need.

The limits are those of real containers, so the clients of a test wait side by side.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.container.raw import LIVE, RawClient, ask, connected, post
from tests.support.container.running import Server, Start, wait_until
from tests.support.container.streams import streaming

PLAIN = b'{"values": "1,2,3,4"}'
LIMIT = 60.0
"""Long enough for every limit below on a slow machine."""


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        yield pool


def measure_silence(client: RawClient, drip: bytes = b"") -> tuple[float, bytes]:
    """Send ``drip``, a byte each half second, until the server ends the connection: after how long, and what it sent."""
    began, received = time.monotonic(), b""
    client.socket.settimeout(0.5)
    while time.monotonic() - began < LIMIT:
        try:
            if drip:
                client.socket.send(drip[:1])
                drip = drip[1:]
            data = client.socket.recv(65536)
            if not data:
                break
            received += data
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began, received


def test_slow_clients_are_ended_and_hold_nothing(server: Server, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    others = [RawClient(server).send(b"P") for _ in range(17)]
    for _ in range(5):
        assert ask(server, post(PLAIN)).status == 200
    clients = {
        name: RawClient(server) for name in ("silent", "one byte", "head", "second head", "body", "chunks", "trickle")
    }
    clients["one byte"].send(b"P")
    clients["second head"].send(LIVE).read()
    slow = post(bytes(100_000)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    clients["body"].send(slow + b"{")
    clients["chunks"].send(slow.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked") + b"5\r\n")
    clients["trickle"].send(slow)
    drips = {
        "head": b"GET / HTTP/1.1\r\nX: " + b"x" * 1000,
        "second head": LIVE[:1] + b"x" * 1000,
        "trickle": b"x" * 1000,
    }
    ends = {name: pool.submit(measure_silence, client, drips.get(name, b"")) for name, client in clients.items()}
    for _ in range(5):
        assert ask(server, LIVE).status == 200
    seconds = {name: end.result()[0] for name, end in ends.items()}
    received = {name: end.result()[1] for name, end in ends.items()}
    assert received["silent"] == b""
    for name in ("one byte", "head", "second head", "body", "chunks", "trickle"):
        assert received[name].startswith(b"HTTP/1.1 408 "), name
        assert b"connection: close" in received[name]
    for name in ("silent", "one byte", "head", "second head"):
        assert 8 < seconds[name] < LIMIT, name
    for name in ("body", "chunks", "trickle"):
        assert 15 < seconds[name] < LIMIT, name
    assert all(other.read().status == 408 for other in others)
    for client in (*clients.values(), *others):
        client.close()


def test_a_client_that_reads_nothing_is_dropped(start: Start) -> None:
    """Its answers fill the buffers of both kernels; the rest is in the server's memory."""
    server = start().wait_for("ready")
    with connected(server) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /startup HTTP/1.1\r\nHost: x\r\n\r\n"
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):  # the server reads no further requests of it
            while True:
                client.send(request * 100)
        assert server.get("/v2/health/live").status_code == 200
        wait_until(lambda: server.metric("prebake_connections") == 1, "the end of its connection", 90)


def test_a_reader_of_events_that_reads_nothing_is_dropped(start: Start) -> None:
    """Although the server has something to send again and again: progress, and comments."""
    server = start(PREBAKE_HEARTBEAT="0.1").wait_for("ready")
    with streaming(server, "talk", receive_buffer=4096):
        server.wait_for_note("talked")
        wait_until(lambda: server.metric("prebake_connections") == 1, "the end of its connection", 90)
    assert server.events[-1]["status"] == 499


def test_a_client_that_reads_slowly_gets_all_of_it(server: Server) -> None:
    request = b"GET /startup HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request * 300)
        for _ in range(300):
            assert client.read().status == 200
            time.sleep(0.005)
