"""Bodies whose end is told wrongly, or that do not come whole."""

from __future__ import annotations

import random

from tests.support.hostile.message import JSON, HostileRequest, Target, encode, post

LENGTHS = ("-1", "+2", "0x2", "2, 2", "2 2", "1.0", "1e3", "9" * 40, "two", "\xb2", "")
CHUNKS = (
    b"g\r\n{}\r\n0\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
    b"0x2\r\n{}\r\n0\r\n\r\n",
    b"2\n{}\n0\n\n",
    b"1\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}0\r\n\r\n",
    b"ffffffffffffffffff\r\n{}",
    b"2" + b";a=b" * 5000 + b"\r\n{}\r\n0\r\n\r\n",
    b"\r\n{}\r\n0\r\n\r\n",
    b"00000000000000000000000000002\r\n{}\r\n0\r\n\r\n",
)
"""Chunked bodies that are malformed at their beginning."""


def make_chunks(draw: random.Random, target: Target) -> HostileRequest:
    """Malformed chunks. The server may see the mistake only after more bytes, so it need not answer."""
    head = encode("POST", "/generate", Content_Type=JSON, Content_Length="", Transfer_Encoding="chunked")
    return HostileRequest("chunks", (head + draw.choice(CHUNKS),), answered=False)


def make_tiny_chunks(draw: random.Random, target: Target) -> HostileRequest:
    """A body of one byte a chunk, with a trailer or without one."""
    body = b'{"%s": "a b c"}' % target.fields[0].encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    trailer = draw.choice((b"", b"X-Trailer: y\r\n", b"Content-Length: 3\r\n"))
    head = encode("POST", "/generate", Content_Type=JSON, Content_Length="", Transfer_Encoding="chunked")
    return HostileRequest("tiny chunks", (head + chunks + b"0\r\n" + trailer + b"\r\n",))


def make_both_lengths(draw: random.Random, target: Target) -> HostileRequest:
    """As for request smuggling: two ways to tell where the body ends."""
    second = encode("GET", "/v2/health/live")
    coding = draw.choice(
        ("chunked", "Chunked", "chunked, chunked", "identity", "gzip, chunked", "xchunked", " chunked")
    )
    length = draw.choice(("", "5", "0", str(len(second) + 5)))
    content = encode("POST", "/generate", b"0\r\n\r\n" + second, Content_Length=length, Transfer_Encoding=coding)
    return HostileRequest("two lengths", (content,))


def make_length(draw: random.Random, target: Target) -> HostileRequest:
    """A Content-Length that is no number, or far above every limit."""
    content = encode("POST", "/generate", b"{}", Content_Type=JSON, Content_Length=draw.choice(LENGTHS))
    return HostileRequest("length", (content,))


def make_cut_body(draw: random.Random, target: Target) -> HostileRequest:
    """The client leaves before the body is complete."""
    body = b'{"%s": "%s"}' % (target.fields[0].encode(), b"a word " * draw.randrange(1, 200))
    sent = body[: draw.randrange(len(body))]
    content = encode("POST", "/generate", sent, Content_Type=JSON, Content_Length=str(len(body)))
    return HostileRequest("cut body", (content,), answered=False)


def make_slow_body(draw: random.Random, target: Target) -> HostileRequest:
    """A few bytes at a time."""
    content = encode("POST", "/generate", b'{"%s": "slow"}' % target.fields[0].encode(), Content_Type=JSON)
    size = max(1, len(content) // draw.randrange(5, 20))
    pieces = tuple(content[start : start + size] for start in range(0, len(content), size))
    return HostileRequest("slow body", pieces, pause=0.02)


def make_waiting_body(draw: random.Random, target: Target) -> HostileRequest:
    """``Expect: 100-continue``, with the body at once or with another expectation."""
    expectation = draw.choice(("100-continue", "100-Continue", "200-ok", "100-continue, 100-continue"))
    return post("expectation", "/generate", b"{}", Expect=expectation)
