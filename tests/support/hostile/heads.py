"""Heads of requests that are malformed, too large, or odd but valid."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.support.hostile.message import HostileRequest, Target, cut_up, encode

LIVE = "/v2/health/live"
TARGETS = (
    "http://localhost/v2/health/live",
    "http://other.example:99999/generate",
    "HTTP://[::1]/health",
    "http://",
    "https://user:password@localhost/metrics?a=b#c",
    "*",
    "localhost:80",
    "generate",
    "//generate",
    "/%",
    "/%zz",
    "/%2",
    "/%00",
    "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/ready",
    "/v2/models/../../etc/passwd/infer",
    "/v2/models/%ff%fe/config",
    "/v2/models/" + "a" * 4000,
    "/?" + "&".join(f"a{n}=%41" for n in range(500)),
    "/health?" + "%25" * 1000,
    "/generate#" + "x" * 100,
    "/\\..\\windows",
    "/v2//models///stats",
)
BROKEN_LINES = (
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\0ET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\0\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT localhost:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
)
EVENTS = (
    "text/event-stream",
    "TEXT/EVENT-STREAM;q=1",
    "text/event-stream;q=0",
    "text/event-stream, " * 50 + "*/*",
    "text/event-stream;q=9999999999999999999",
    ";;;=,,text/event-stream;;q=",
    '"text/event-stream',
)
SNIPPETS = (b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\xff", b"0", b"%", b"Content-Length: 3\r\n")


def make_target(draw: random.Random, target: Target) -> HostileRequest:
    method = draw.choice(("GET", "POST", "HEAD", "OPTIONS", "DELETE", "get", "X" * 200))
    return HostileRequest("target", (encode(method, draw.choice(TARGETS)),), method=method)


def make_broken_line(draw: random.Random, target: Target) -> HostileRequest:
    return HostileRequest("request line", (draw.choice(BROKEN_LINES),))


def make_large_head(draw: random.Random, target: Target) -> HostileRequest:
    """Many headers, one long header, or a long request line. None is complete after 16 KiB."""
    content = draw.choice(
        (
            encode("GET", LIVE, b"", **{f"X-{n}": "y" for n in range(draw.randrange(101, 400))}),
            encode("GET", LIVE, Cookie="c" * draw.randrange(17_000, 60_000)),
            encode("GET", "/" + "a" * draw.randrange(17_000, 60_000)),
        )
    )
    return HostileRequest("large head", (content,), method="GET")


def make_event_stream(draw: random.Random, target: Target) -> HostileRequest:
    """A good or a wrong form, with the header of an event stream."""
    body = draw.choice((b'{"%s": "one sentence"}' % target.fields[0].encode(), b"{}", b"[", b""))
    content = encode(
        "POST",
        "/generate",
        body,
        Content_Type="application/json",
        Accept=draw.choice(EVENTS),
        Prefer=f"wait={draw.choice('09x')}",
    )
    return HostileRequest("event stream", (content,))


def make_header_values(draw: random.Random, target: Target) -> HostileRequest:
    """Headers that the server reads, with values that it does not expect."""
    odd = draw.choice(
        ("", " ", "\t", ",", "=;", "\x7f", "é", "9" * 300, "-1", "null", '"', "a, b", "..", "%00", "\x01")
    )
    name = draw.choice(
        (
            *(
                "Origin",
                "X-Request-Id",
                "Traceparent",
                "Tracestate",
                "Prefer",
                "Expect",
                "Connection",
                "Accept-Encoding",
            ),
            *("Content-Type", "Content-Encoding", "Authorization", "Upgrade", "Keep-Alive", "Sec-Fetch-Site", "Range"),
        )
    )
    content = encode(
        "POST", draw.choice(("/generate", "/v2", "/invocations")), b"{}", **{name.replace("-", "_"): odd + " "}
    )
    return HostileRequest("value of a header", (content,))


def make_damaged(draw: random.Random, target: Target) -> HostileRequest:
    """A good request with bytes changed, inserted or left out, in several pieces. It may be incomplete."""
    content = draw.choice(
        (
            encode("GET", LIVE) * draw.randrange(1, 4),
            encode("POST", "/generate", b'{"%s": "a"}' % target.fields[0].encode(), Content_Type="application/json"),
            encode("POST", "/generate", b"5\r\n{}   \r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked"),
        )
    )
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(content))
        insert = draw.choice((*SNIPPETS, bytes([draw.randrange(256)]), b""))
        content = content[:place] + insert + content[place + draw.randrange(3) :]
    return HostileRequest("damaged", cut_up(draw, content), answered=False)


def make_cut_head(draw: random.Random, target: Target) -> HostileRequest:
    """The client leaves in the middle of a head."""
    content = make_target(draw, target).content
    request = HostileRequest("cut head", (content[: draw.randrange(1, len(content))],), answered=False)
    return replace(request, pieces=cut_up(draw, request.content))
