"""Requests with mistakes at random places, in random pieces, from clients that leave at random moments."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from pathlib import Path

from tests.support.collection.sampled import slow
from tests.support.container.raw import LIVE, RawClient, ask, post
from tests.support.container.running import Server, Start, wait_until

PLAIN = b'{"values": "1,2,3,4"}'
CHUNKED = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
SEEDS = (
    LIVE,
    LIVE * 3,
    post(PLAIN),
    post(PLAIN, "Expect: 100-continue"),
    post(PLAIN, "Accept: text/event-stream"),
    CHUNKED + b"15\r\n" + PLAIN + b"\r\n0\r\n\r\n" + LIVE,
    b"GET http://x/health?a=b HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
)
SNIPPETS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"\xff",
    b"0",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
)
EXPECTED = {100, 200, 204, 400, 404, 405, 408, 413, 415, 422, 431, 500, 501, 503, 505}
"""500: the tiny model fails at values that are no numbers. A failure of the server itself has an event."""


def damage(request: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randrange(4)):
        place = draw.randrange(len(request) + 1)
        match draw.randrange(4):
            case 0:
                request = request[:place] + draw.choice(SNIPPETS) + request[place:]
            case 1:
                request = request[:place] + request[place + draw.randrange(1, 4) :]
            case 2 if place < len(request):
                request = request[:place] + bytes([draw.randrange(256)]) + request[place + 1 :]
            case _:
                request = request[:place] + request[draw.randrange(len(request) + 1) :]
    return request or b"\r\n"


def converse(server: Server, draw: random.Random) -> set[int]:
    """Send one damaged request; which statuses were answered."""
    client, statuses = RawClient(server), set()
    client.socket.settimeout(0.05)
    request = damage(draw.choice(SEEDS), draw)
    cuts = sorted(draw.randrange(len(request) + 1) for _ in range(draw.randrange(3)))
    with contextlib.suppress(OSError, EOFError):
        for start, end in zip((0, *cuts), (*cuts, len(request)), strict=True):
            client.send(request[start:end])
        if draw.random() < 0.3:
            client.end()
        if draw.random() < 0.8:
            received = b""
            with contextlib.suppress(OSError):
                while data := client.socket.recv(65536):
                    received += data
            lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
            statuses = {int(line.split()[1]) for line in lines}
        elif draw.random() < 0.5:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return statuses


def check(server: Server, number: int) -> None:
    files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    draw = random.Random(number)
    answered: set[int] = set()
    for count in range(number):
        answered |= converse(server, draw)
        if count % 50 == 0:
            assert ask(server, LIVE).status == 200
    assert {200, 400} <= answered <= EXPECTED
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "the end of all requests", 60)
    wait_until(lambda: server.metric("prebake_connections") == 1, "the end of all connections", 60)
    wait_until(lambda: len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) <= files + 1, "their files")
    assert ask(server, post(PLAIN)).status == 200
    assert all(line.startswith("{") for line in server.stderr.splitlines())
    assert not [event for event in server.events if event["event"] == "request failed"]
    failed = [event for event in server.events if event["event"] == "request" and event["status"] == 500]
    assert all(event["path"] == "/generate" and event["seconds"] < 20 for event in failed)


def test_malformed_requests_are_answered_as_such(start: Start) -> None:
    check(start().wait_for("ready"), 300)


@slow
def test_many_malformed_requests(start: Start) -> None:
    check(start().wait_for("ready"), 10_000)
