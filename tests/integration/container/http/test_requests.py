"""Ordinary and odd requests, byte by byte."""

from __future__ import annotations

import json

import pytest

from tests.support.container.raw import LIVE, ask, connected, post
from tests.support.container.running import Server

ODD_PATHS = ("/%C3%A9", "/%ff%fe", "/%00", "/%", "/%zz", "/%0d%0aX:%20y", "//", "/..%2f..", "/" + "a" * 9000)
PLAIN = b'{"values": "1,2,3,4"}'


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/{version}", "Host: x", *headers, "")).encode()


def test_a_connection_is_kept(server: Server) -> None:
    with connected(server) as client:
        for _ in range(3):
            response = client.send(LIVE).read()
            assert (response.status, json.loads(response.body)) == (200, {"live": True})
            assert "connection" not in response.headers
            assert response.headers["date"].endswith(" GMT")
            assert client.send(post(PLAIN)).read().status == 200


@pytest.mark.parametrize("request_", [get("/health", "Connection: close"), get("/health", version="1.0")])
def test_a_client_may_end_it(server: Server, request_: bytes) -> None:
    with connected(server) as client:
        response = client.send(request_).read()
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert client.is_closed()


def test_the_absolute_form_is_answered_as_the_origin_form(server: Server) -> None:
    for target in ("http://x/v2/health/live", "HTTP://other.example:81/v2/health/live?a=b"):
        assert json.loads(ask(server, get(target)).body) == {"live": True}

    assert ask(server, get("http://x/nothing")).status == 404
    body = post(PLAIN).replace(b"POST /generate", b"POST http://x/generate")
    assert ask(server, body).status == 200


def test_methods_about_the_server(server: Server) -> None:
    response = ask(server, get("*", method="OPTIONS"))
    assert (response.status, response.headers["allow"]) == (204, "GET, HEAD, POST")
    assert not {"content-length", "content-type"} & set(response.headers)
    assert ask(server, get("/health", method="OPTIONS")).status == 405
    refusal = ask(server, b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n")
    assert (refusal.status, refusal.headers["allow"]) == (405, "GET, HEAD, POST")
    assert ask(server, get("/health", method="BREW")).status == 405


@pytest.mark.parametrize(
    "path", ["/%C3%A9", "/%ff%fe", "/%00", "/%", "/%zz", "/%0d%0aX:%20y", "//", "/..%2f..", "/" + "a" * 9000]
)
def test_an_odd_path_is_not_found(server: Server, path: str) -> None:
    response = ask(server, get(path))
    assert response.status == 404
    assert "x" not in response.headers


def test_a_path_is_decoded_once(server: Server) -> None:
    assert ask(server, get("/v2/health%2Flive")).status == 200
    assert ask(server, get("/v2/health%252Flive")).status == 404


def test_head_has_no_body(server: Server) -> None:
    with connected(server) as client:
        for path, status in (("/v2/health/live", 200), ("/nothing", 404), ("/generate", 405)):
            response = client.send(get(path, method="HEAD")).read(head=True)
            assert response.status == status
            assert int(response.headers["content-length"]) > 0


def test_requests_in_one_piece_are_answered_in_order(server: Server) -> None:
    requests = [get("/nothing"), post(PLAIN), LIVE, get("/health", method="HEAD")] * 25
    with connected(server) as client:
        client.send(b"".join(requests))
        for _ in range(25):
            assert [client.read().status for _ in range(3)] == [404, 200, 200]
            assert client.read(head=True).status == 200


def test_requests_byte_by_byte(server: Server) -> None:
    with connected(server) as client:
        for byte in LIVE + post(PLAIN) + b"\r\n" + LIVE:
            client.send(bytes([byte]))
        assert [client.read().status for _ in range(3)] == [200, 200, 200]


def test_what_follows_a_request_and_is_none_ends_the_connection(server: Server) -> None:
    with connected(server) as client:
        client.send(LIVE + post(PLAIN) + b"garbage of a client\n\r\n" + LIVE)
        assert [client.read().status for _ in range(2)] == [200, 200]
        assert client.read().status == 400
        assert client.is_closed()


def test_an_upgrade_is_ignored(server: Server) -> None:
    with connected(server) as client:
        for upgrade in ("websocket", "h2c"):
            request = get("/v2/health/live", "Connection: Upgrade", f"Upgrade: {upgrade}")
            assert client.send(request).read().status == 200
        assert client.send(post(PLAIN, "Connection: Upgrade", "Upgrade: h2c")).read().status == 200
    assert all(line.startswith("{") for line in server.stderr.splitlines())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (
            b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
def test_what_is_not_valid_is_refused_counted_and_logged(server: Server, head: bytes, status: int) -> None:
    name = f'prebake_requests_total{{path="invalid",status="{status}"}}'
    before = server.metric(name) or 0
    with connected(server) as client:
        response = client.send(head).read()
        assert client.is_closed()
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert response.headers["content-type"] == "application/json"
    assert response.message
    assert server.metric(name) == before + 1
    line = next(line for line in server.events if line.get("request_id") == response.headers["x-request-id"])
    assert (line["event"], line["status"], line["path"]) == ("request", status, None)
    assert line["problem"] == response.message


def test_a_refused_head_ends_a_connection_that_was_kept(server: Server) -> None:
    with connected(server) as client:
        assert client.send(LIVE).read().status == 200
        assert client.send(b"nonsense\r\n\r\n").read().status == 400
        assert client.is_closed()
