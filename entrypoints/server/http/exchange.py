"""One request and its response: ``scope``, ``receive`` and ``send`` of ASGI (version 3, HTTP), as far as the application uses
them."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entrypoints.processes.log import log_event, request_context
from entrypoints.response import HTTPException, Response, error_response
from entrypoints.server.http.access_log import CLIENT_CLOSED_REQUEST, RequestRecord
from entrypoints.server.http.request_identity import describe_request
from entrypoints.server.response_writer import Message, Receive, Scope, Send, send_response

if TYPE_CHECKING:
    from typing import Protocol

    from entrypoints.server.http.request_head import RequestHead

    class Connection(Protocol):
        """What an exchange needs of `entrypoints.server.http.connection`."""

        client: str

        def write(self, data: bytes) -> None: ...

        async def wait_until_writable(self) -> None: ...

        def want_body(self) -> None: ...

        def keeps_alive(self) -> bool: ...

        def end_after_response(self) -> None: ...

        def abort(self) -> None: ...

        def record(self, record: RequestRecord) -> None: ...

        def finish_exchange(self) -> None: ...


Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_JOINED_BYTES = 64 * 1024
"""A body up to this size is copied behind its head, so that both leave in one write."""
MAX_TRACEBACK_CHARACTERS = 8000
REASONS = {
    200: b"OK",
    204: b"No Content",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
"""The reason phrases of the statuses that the server sends; another may go without (RFC 9112, section 4)."""


class Exchange:
    def __init__(self, connection: Connection, head: RequestHead, began: float, bytes_in: int) -> None:
        """``began``: when the first byte arrived, by the loop's clock. ``bytes_in``: the size of the head."""
        self.head = head
        self.details = describe_request(head.headers)
        self.bytes_in = bytes_in
        self.response_started = False
        self.response_complete = False
        self.expects_continue = False
        self._connection = connection
        self._began = began
        self._body = bytearray()
        self._body_complete = False
        self._body_delivered = False
        self._refusal: HTTPException | None = None
        self._left = False
        self._news = asyncio.Event()
        self._status = CLIENT_CLOSED_REQUEST
        self._unsent_head: bytes = b""
        self._chunked = False
        self._bytes_out = 0

    # The connection calls these.

    @property
    def buffered(self) -> int:
        """Bytes of the body that the application did not take yet."""
        return len(self._body)

    def add_body(self, data: bytes) -> None:
        self._body += data
        self._news.set()

    def end_body(self) -> None:
        self._body_complete = True
        self._news.set()

    def fail(self, refusal: HTTPException) -> None:
        """The body is malformed or too slow: ``receive`` raises it."""
        self._refusal = refusal
        self._news.set()

    def leave(self) -> None:
        """The client is gone."""
        self._left = True
        self._news.set()

    async def run(self, application: Application, server_state: dict[str, object]) -> None:
        """``server_state`` becomes part of ``scope["state"]``, where the application finds ``request_id`` too."""
        request_context.set(self.details)
        head = self.head
        state = {**self.details, **server_state}
        scope: Scope = {
            "type": "http",
            "http_version": head.version.decode(),
            "method": head.method,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": head.headers,
            "client": (self._connection.client, 0),
            "state": state,
        }
        try:
            await application(scope, self.receive, self.send)
            if not self.response_complete and not self._left:
                raise RuntimeError("the application ended without a response")
        except asyncio.CancelledError:  # the server stops, and the application did not answer in time
            state["outcome"] = 503
            await self._answer_unfinished(error_response(503, "The request was not finished: the server is stopping."))
        except Exception as error:
            state["outcome"] = 500
            await self._answer_failure(error)
        finally:
            self._record(state)

    async def receive(self) -> Message:
        """Raises HTTPException (400, 408) if the rest of the body is malformed or does not arrive in time."""
        while True:
            if self._left or self.response_complete:
                return {"type": "http.disconnect"}
            if self._refusal is not None:
                raise self._refusal
            if self._body or (self._body_complete and not self._body_delivered):
                self._body_delivered = self._body_complete
                body, self._body = bytes(self._body), bytearray()
                return {"type": "http.request", "body": body, "more_body": not self._body_complete}
            if self.expects_continue and not self.response_started:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.expects_continue = False
            self._connection.want_body()
            self._news.clear()
            await self._news.wait()

    async def send(self, message: Message) -> None:
        """Returns without effect if the client is gone."""
        await self._connection.wait_until_writable()
        if self._left:
            return
        if message["type"] == "http.response.start":
            self._start_response(message["status"], message["headers"])
        else:
            self._send_body(message.get("body", b""), message.get("more_body", False))

    def _start_response(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self._status = status
        fields = [*headers, (b"x-request-id", self.details["request_id"].encode())]
        has_length = any(name == b"content-length" for name, _ in headers) or status in (204, 304)
        self._chunked = not has_length and self.head.version == b"1.1" and self.head.method != "HEAD"
        if self._chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        if not has_length and not self._chunked:
            self._connection.end_after_response()
        if not self._connection.keeps_alive() and (b"connection", b"close") not in headers:
            fields.append((b"connection", b"close"))
        elif (b"connection", b"close") in headers:
            self._connection.end_after_response()
        self._unsent_head = write_head(status, fields)
        if not has_length:  # of an event stream; the client waits for the head, and the first event may take a while
            self._write(b"")

    def _send_body(self, body: bytes, more: bool) -> None:
        if self.head.method == "HEAD":
            body = b""
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        self._write(body)
        if not more:
            self.response_complete = True
            self._news.set()
            self._connection.finish_exchange()

    def _write(self, body: bytes) -> None:
        head, self._unsent_head = self._unsent_head, b""
        self._bytes_out += len(head) + len(body)
        if len(body) <= MAX_JOINED_BYTES:
            head, body = b"", head + body
        for data in (head, body):
            if data:
                self._connection.write(data)

    async def _answer_failure(self, error: Exception) -> None:
        """A mistake of the server's own code: the log has it, and the client gets no detail."""
        text = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARACTERS:]
        log_event("request failed", level="error", path=self.head.path[:200], traceback=text)
        await self._answer_unfinished(error_response(500, "The server failed to answer; its log says why."))

    async def _answer_unfinished(self, response: Response) -> None:
        if self.response_complete:
            return
        if self.response_started:  # a connection that ends too early is the only sign that is left
            self._connection.abort()
            return
        self._connection.end_after_response()
        await send_response(self.send, response)

    def _record(self, state: Mapping[str, Any]) -> None:
        left = self._left and not self.response_complete
        status = CLIENT_CLOSED_REQUEST if left else self._status
        self._connection.record(
            RequestRecord(
                method=self.head.method,
                path=self.head.path,
                status=status,
                outcome=status if left else state.get("outcome", status),
                seconds=asyncio.get_running_loop().time() - self._began,
                bytes_in=self.bytes_in,
                bytes_out=self._bytes_out,
                client=self._connection.client,
                details=self.details,
                state=state,
            )
        )


def write_head(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Raises ValueError for a header that would become two, or a part of the body."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"")), b"date: %b\r\n" % write_date(int(time.time()))]
    lines += [b"%b: %b\r\n" % field for field in headers]
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise ValueError("a header of the response has a line break or a zero byte in it")
    return head + b"\r\n"


_date = (0, b"")


def write_date(now: int) -> bytes:
    """RFC 9110, section 5.6.7; computed once a second."""
    global _date
    if _date[0] != now:
        _date = now, time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)).encode()
    return _date[1]
