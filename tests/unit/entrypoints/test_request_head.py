"""Heads of requests: what is taken, what is refused, and with which status."""

from __future__ import annotations

import pytest

from entrypoints.server.http.request_head import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Refusal,
    RequestHead,
    parse_head,
    take_head,
)

HOST = b"Host: x\r\n"


def parse(received: bytes) -> RequestHead | None:
    head = take_head(bytearray(received))
    return None if head is None else parse_head(head)[0]


def refusal(received: bytes) -> int:
    with pytest.raises(Refusal) as caught:
        parse(received)
    assert caught.value.message.endswith(".")
    return caught.value.status


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/health", "/health", b"", b"x"),
        (b"/a%20b%2Fc?d=%20&e", "/a b/c", b"d=%20&e", b"x"),
        (b"/%ff%00%zz%", "/�\0%zz%", b"", b"x"),
        (b"//other/health", "//other/health", b"", b"x"),
        (b"http://other:81/health?a", "/health", b"a", b"other:81"),
        (b"HTTPS://other", "/", b"", b"other"),
        (b"http://other?a", "/", b"a", b"other"),
        (b"http://[::1]:8/x", "/x", b"", b"[::1]:8"),
    ],
)
def test_a_target_in_origin_or_absolute_form(target: bytes, path: str, query: bytes, host: bytes) -> None:
    head = parse(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST))
    assert head is not None
    assert (head.path, head.query, dict(head.headers)[b"host"]) == (path, query, host)


def test_the_whole_server_is_a_target_of_options_only() -> None:
    for target in (b"*", b"http://other"):
        head = parse(b"OPTIONS %b HTTP/1.1\r\n%b\r\n" % (target, HOST))
        assert head is not None
        assert head.path == "*"
    assert refusal(b"GET * HTTP/1.1\r\n%b\r\n" % HOST) == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /", 400),
        (b"GET / HTTP/1.1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET health HTTP/1.1", 400),
        (b"GET ftp://x/ HTTP/1.1", 400),
        (b"GET http://user@x/ HTTP/1.1", 400),
        (b"GET http:/// HTTP/1.1", 400),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"CONNECT x:1 HTTP/1.1", 405),
        (b"G\x01T / HTTP/1.1", 400),
    ],
)
def test_a_request_line_is_refused(line: bytes, status: int) -> None:
    assert refusal(b"%b\r\n%b\r\n" % (line, HOST)) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"transfer-encoding: chunked\r\nCONTENT-LENGTH: 1\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"Content-Length: 1, 1\r\n", 400),
        (b"Content-Length: +1\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 0x1\r\n", 400),
        (b"Content-Length: 1_0\r\n", 400),
        (b"Content-Length: 1 0\r\n", 400),
        (b"Content-Length:\r\n", 400),
        (b"Content-Length: " + b"9" * 30 + b"\r\n", 400),
        (b"Content-Length : 1\r\n", 400),
        (b"Content-Length\t: 1\r\n", 400),
        (b"Transfer-Encoding : chunked\r\n", 400),
        (b"Transfer-Encoding:\x0bchunked\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked, identity\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"Transfer-Encoding:\r\n", 501),
        (b"X: a\r\n b\r\n", 400),
        (b"X: a\r\n\tTransfer-Encoding: chunked\r\n", 400),
        (b" X: a\r\n", 400),
        (b"X: a\nY: b\r\n", 400),
        (b"X: a\rY: b\r\n", 400),
        (b"X: a\0b\r\n", 400),
        (b"X y: a\r\n", 400),
        (b": a\r\n", 400),
        (b"no colon\r\n", 400),
        (b"Host: y\r\n", 400),
        (b"X: a\r\n" * MAX_HEADERS, 431),
    ],
)
def test_headers_are_refused(headers: bytes, status: int) -> None:
    assert refusal(b"POST / HTTP/1.1\r\n%b%b\r\n" % (HOST, headers)) == status


def test_a_host_is_required_and_is_a_host() -> None:
    assert refusal(b"GET / HTTP/1.1\r\n\r\n") == 400
    for host in (b"a b", b"a/b", b"a@b", b"a?b", b"a\xff"):
        assert refusal(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) == 400
    assert parse(b"GET / HTTP/1.0\r\n\r\n")


def test_a_body_in_chunks_needs_http_1_1() -> None:
    assert refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400


@pytest.mark.parametrize(
    "received",
    [b"\x16\x03\x01\x02\x00", b"\x00", b"\xff\xfe", b" GET", b"\nGET", b"GET / HTTP/1.1\nHost: x\n\n", b"\r\n\x16\x03"],
)
def test_what_is_no_head_is_refused_before_it_is_complete(received: bytes) -> None:
    assert refusal(received) == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n%bAuthorization : Bearer hush\r\n\r\n",
        b"GET / HTTP/1.1\r\n%bAuthorization: Bearer hush\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n%bBearer hush\r\n\r\n",
        b"GET  /?token=hush HTTP/1.1\r\n%b\r\n",
        b"GET http://user:hush@x/ HTTP/1.1\r\n%b\r\n",
        b"GET / HTTP/1.1\r\n%bContent-Length: hush\r\n\r\n",
        b"GET / HTTP/1.1\r\n%bTransfer-Encoding: hush\r\n\r\n",
    ],
)
def test_a_message_quotes_nothing_that_may_be_a_secret(head: bytes) -> None:
    """The log has it too."""
    with pytest.raises(Refusal) as caught:
        parse(head % HOST)
    assert "hush" not in caught.value.message


def test_a_head_has_a_largest_size_and_may_come_in_pieces() -> None:
    head = b"GET / HTTP/1.1\r\n%bX: " % HOST
    assert refusal(head + b"x" * MAX_HEAD_BYTES) == 431
    assert refusal(head + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n") == 431
    received = bytearray()
    whole = b"\r\n\r\n" + head + b"x\r\n\r\n"
    for byte in whole[:-1]:
        received.append(byte)
        assert take_head(received) is None
    received += b"\nGET"
    assert take_head(received) == whole.lstrip()
    assert received == b"GET"


@pytest.mark.parametrize(
    ("version", "headers", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.9", b"", True),
        (b"1.1", b"Connection: keep-alive, Close\r\n", False),
        (b"1.1", b"Connection: upgrade\r\nConnection: close\r\nUpgrade: websocket\r\n", False),
        (b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", True),
        (b"1.0", b"Connection: keep-alive\r\n", False),
    ],
)
def test_who_may_send_another_request(version: bytes, headers: bytes, keep_alive: bool) -> None:
    head = parse(b"GET / HTTP/%b\r\n%b%b\r\n" % (version, HOST, headers))
    assert head is not None
    assert head.keep_alive == keep_alive
