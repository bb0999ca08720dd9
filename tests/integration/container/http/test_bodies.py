"""Bodies: in chunks, announced, malformed, and refused before they are read."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.support.container.raw import LIVE, RawResponse, ask, connected, post
from tests.support.container.running import Server

PLAIN = b'{"values": "1,2,3,4"}'
CHUNKED = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def in_chunks(body: bytes, size: int) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + size]), body[i : i + size]) for i in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0;a=b\r\nX-Trailer: y\r\n\r\n", b"000\r\n\r\n"])
def test_a_body_in_chunks(server: Server, size: int, end: bytes) -> None:
    with connected(server) as client:
        client.send(CHUNKED + in_chunks(PLAIN, size) + end + LIVE)
        assert [client.read().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"ffffffffffffffffffffff\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\naa\r\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nX: y\n\n",
        b"0\r\nno trailer\r\n\r\n",
        b"1;" + b"e" * 20_000,
    ],
)
def test_chunks_that_are_malformed_are_refused(server: Server, body: bytes) -> None:
    with connected(server) as client:
        response = client.send(CHUNKED + body).read()
        assert client.is_closed()
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert response.message


def test_a_body_of_tiny_chunks_is_refused_and_delays_nobody(server: Server) -> None:
    blob = in_chunks(b"[" * 400_000, 1)
    with connected(server) as client:
        client.socket.setblocking(False)
        try:
            sent = client.socket.send(CHUNKED + blob)
        except BlockingIOError:
            sent = 0
        client.socket.settimeout(20)
        began = time.monotonic()
        assert ask(server, LIVE).status == 200
        assert time.monotonic() - began < 5
        try:
            client.send(blob[max(0, sent - len(CHUNKED)) :])
        except OSError:
            return  # the connection has ended, after more than it may send
        response = client.read()
    assert response.status == 400
    assert "larger chunks" in response.message


def announce(length: int, *headers: str, path: str = "/generate") -> bytes:
    lines = ("Host: x", "Content-Type: application/json", f"Content-Length: {length}", *headers, "")
    return f"POST {path} HTTP/1.1\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode()


@pytest.mark.parametrize(("path", "status"), [("/generate", 413), ("/nothing", 404), ("/health", 405)])
def test_a_refused_body_is_cut(server: Server, path: str, status: int) -> None:
    """The client sends a gigabyte, and stops as soon as it cannot; the answer is there to read before."""
    with connected(server) as client:
        client.send(announce(1_000_000_000, path=path))
        response = client.read()
        assert (response.status, response.headers["connection"]) == (status, "close")
        client.socket.settimeout(20)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1_000_000_000:
                sent += client.socket.send(bytes(1_000_000))
    assert sent < 100_000_000, "the buffers of both sides, and the little that is read"


def test_a_client_that_sends_first_and_reads_later_can_read_its_refusal(server: Server) -> None:
    with connected(server) as client:
        client.send(announce(600_000, path="/nothing"))
        client.send(bytes(600_000))
        assert client.read().status == 404
        assert client.is_closed()


def test_a_client_that_waits_to_send_its_body_may(server: Server) -> None:
    with connected(server) as client:
        client.send(announce(len(PLAIN), "Expect: 100-continue"))
        assert client.read().status == 100
        assert client.send(PLAIN).read().status == 200
        assert client.send(LIVE).read().status == 200, "the connection is kept"
        assert client.send(post(PLAIN, "Expect: 100-continue")).read().status in (100, 200)


@pytest.mark.parametrize("refused", ["size", "path", "type"])
def test_a_refused_request_is_not_told_to_continue(server: Server, refused: str) -> None:
    request = announce(
        10**9 if refused == "size" else 10,
        "Expect: 100-continue",
        path="/nothing" if refused == "path" else "/generate",
    )
    if refused == "type":
        request = request.replace(b"application/json", b"text/plain")
    with connected(server) as client:
        response = client.send(request).read()
        assert response.status == {"size": 413, "path": 404, "type": 415}[refused]
        assert response.headers["connection"] == "close"
        assert client.is_closed()


def test_a_page_takes_no_notice_of_a_body(server: Server) -> None:
    request = LIVE.replace(b"Host: x\r\n", b"Host: x\r\nContent-Length: 5\r\n") + b"hello"
    with connected(server) as client:
        for _ in range(2):
            assert client.send(request).read().status == 200


def test_a_large_body_arrives_whole(server: Server) -> None:
    boundary = b"----b"
    clip = bytes(range(256)) * 30_000
    part = b"--%b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"
    body = part % (boundary, b'"values"', b"1,2,3,4")
    body += part % (boundary, b'"clip"; filename="c"', clip) + b"--%b--\r\n" % boundary
    head = announce(len(body)).replace(b"application/json", b"multipart/form-data; boundary=" + boundary)
    responses: list[RawResponse] = []
    with connected(server) as client:
        for _ in range(2):
            responses.append(client.send(head + body).read())
    assert [response.status for response in responses] == [200, 200]
    assert all(b'"clip": 7680000' in response.body for response in responses)
