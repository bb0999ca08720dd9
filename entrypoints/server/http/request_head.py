"""The head of a request: request line and header fields (RFC 9112). Pure: no socket and no clock.

h11 parses. Before it does, `check_head` refuses what h11 would accept although a proxy in front may read it differently:
with such a head, a client could smuggle a second request past the proxy (RFC 9112, section 11.2).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

import h11

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100
METHODS = "GET, HEAD, POST"
CONTENT_LENGTH = b"\r\ncontent-length:"
ABSOLUTE_FORM = re.compile(rb"https?://([^/?#@]+)((?:/[^?#]*)?)(\?[^#]*)?", re.IGNORECASE)
QUOTE = re.compile(r":? (?:bytearray\()?b['\"].*", re.DOTALL)
"""The part of a request that h11 quotes at the end of its messages."""
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class Refusal(Exception):
    """The client gets this status, and the connection ends."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class RequestHead(NamedTuple):
    method: str
    path: str
    """Percent-decoded. ``*`` for a request about the whole server."""
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Names are in lower case."""
    version: bytes
    """``1.0`` or ``1.1``; of later versions 1.x, ``1.1``."""
    keep_alive: bool
    chunked: bool


def take_head(received: bytearray) -> bytes | None:
    """Remove the first head from ``received``; None if it is not complete. Raises Refusal as early as possible."""
    while received.startswith(b"\r\n"):  # some clients send one after a body (RFC 9112, section 2.2)
        del received[:2]
    end = received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end >= 0:
        head = bytes(received[: end + 4])
        del received[: end + 4]
        return head
    if len(received) > MAX_HEAD_BYTES:
        raise Refusal(431, f"The request line and the headers have more than {MAX_HEAD_BYTES} bytes.")
    if received and received != b"\r" and not 0x20 < received[0] < 0x7F:
        raise Refusal(400, "This is not an HTTP request; the server does not speak TLS.")
    if received.count(b"\n") != received.count(b"\r\n"):
        raise Refusal(400, "A line of the head does not end with CR LF.")
    return None


def parse_head(head: bytes) -> tuple[RequestHead, h11.Connection]:
    """The head, and the parser that gets the bytes of the body. Raises Refusal."""
    check_head(head)
    parser = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
    parser.receive_data(head)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise refuse(error) from None
    assert isinstance(event, h11.Request)  # noqa: S101 (the head is complete)
    if event.http_version[:2] != b"1.":
        raise Refusal(505, f"The server speaks HTTP/1.1, not HTTP/{event.http_version.decode()}.")
    version = min(event.http_version, b"1.1")
    headers = list(event.headers)
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    if chunked and version == b"1.0":
        raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding.")
    method = event.method.decode()
    raw_path, query, host = split_target(method, event.target)
    if host is not None:  # RFC 9112, section 3.2.2: the Host header is ignored then
        headers = [(b"host", host), *((name, value) for name, value in headers if name != b"host")]
    keep_alive = version == b"1.1"
    for name, value in headers:
        if name == b"host" and not HOST.fullmatch(value):
            raise Refusal(400, "The Host header is not a host with an optional port.")
        if name == b"connection" and b"close" in map(bytes.strip, value.lower().split(b",")):
            keep_alive = False
    return RequestHead(method, unquote(raw_path), raw_path, query, headers, version, keep_alive, chunked), parser


def check_head(head: bytes) -> None:
    """Raises Refusal for what h11 accepts and a proxy may read differently."""
    lines = head.count(b"\r\n")
    if not lines == head.count(b"\n") == head.count(b"\r"):
        raise Refusal(400, "A line of the head does not end with CR LF.")
    if lines - 2 > MAX_HEADERS:
        raise Refusal(431, f"The request has {lines - 2} headers; at most {MAX_HEADERS} are accepted.")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise Refusal(400, "A header is continued on a second line; send it in one line.")
    lowered = head.lower()
    if CONTENT_LENGTH in lowered:
        _, _, rest = lowered.partition(CONTENT_LENGTH)
        if CONTENT_LENGTH in rest or b"," in rest.partition(b"\r\n")[0]:
            raise Refusal(400, "The Content-Length is given twice.")
        if b"\r\ntransfer-encoding:" in lowered:
            raise Refusal(400, "The request has a Content-Length and a Transfer-Encoding; send one of them.")


def split_target(method: str, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Path, query, and of the absolute form the host (RFC 9112, section 3.2). Raises Refusal for other forms."""
    if method == "CONNECT":
        raise Refusal(405, f"The server is not a proxy: it accepts {METHODS}.", {"allow": METHODS})
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query, None
    if target == b"*" and method == "OPTIONS":
        return target, b"", None
    match = ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise Refusal(400, "The request target is neither a path nor a URL with http:// and a host.")
    whole_server = method == "OPTIONS" and not match[2] and match[3] is None
    return match[2] or (b"*" if whole_server else b"/"), (match[3] or b"")[1:], match[1]


def refuse(error: h11.RemoteProtocolError, status: int | None = None) -> Refusal:
    """With the status that the parser suggests, if no other is given. The message goes into the answer and the log, so it quotes
    nothing: the line may be an Authorization header, or a target with a token."""
    detail = QUOTE.sub("", str(error))
    return Refusal(status or error.error_status_hint, f"This is not a valid HTTP request: {detail}.")
