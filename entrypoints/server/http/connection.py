"""One connection: its bytes become requests (by h11), one at a time, and each is answered before the next is looked at.

A client that is gone has to be noticed, since an answer may take minutes of work. The end of its bytes alone does not show
it: ``shutdown(SHUT_WR)`` of a client that waits for its answer and ``close()`` send the same FIN. So the end of the bytes
changes nothing, except that a client that has to wait gets interim responses, ``100 Continue``, which every client of
HTTP/1.1 skips (RFC 9110, section 15.2). After ``close()`` the client's kernel answers those bytes with RST, the kernel here
reports a hang-up, and the work is cancelled. One probe is not enough if a proxy stands between that passes bytes on and keeps
both halves of its connections, such as Docker's userland proxy: the first one makes the client's kernel answer the proxy
with RST, the second one fails there and the proxy closes, and the third one is answered with RST here. Two ways to leave
stay without this:

- Clients of HTTP/1.0 must not get interim responses, and event streams have begun their response. Heartbeats of the
  stream, or TCP keepalive probes once the client's kernel has forgotten the connection (after 60 s), get the RST.
- A client whose machine or network is gone sends nothing. Keepalive probes notice it, or TCP_USER_TIMEOUT if data
  waits for it (`entrypoints.server.http.listener`).
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from typing import TYPE_CHECKING, Literal

from entrypoints.response import HTTPException, error_response
from entrypoints.server.http.access_log import RequestRecord
from entrypoints.server.http.body_reader import BODY_BYTES_PER_SECOND, BODY_SECONDS, BodyReader
from entrypoints.server.http.exchange import Exchange, write_head
from entrypoints.server.http.request_head import Refusal, parse_head, take_head
from entrypoints.server.http.request_identity import choose_request_id
from entrypoints.server.response_writer import encode_headers

if TYPE_CHECKING:
    from typing import Protocol

    class Listener(Protocol):
        """What a connection needs of `entrypoints.server.http.listener`."""

        loop: asyncio.AbstractEventLoop
        stopping: bool

        def remove(self, connection: Connection) -> None: ...

        def note_phase(self, connection: Connection) -> None: ...

        def watch(self, connection: Connection) -> None: ...

        def start(self, exchange: Exchange, connection: Connection) -> None: ...

        def record(self, record: RequestRecord) -> None: ...

        def describe_overload(self) -> Refusal: ...


HEAD_SECONDS = 10.0
"""From a head's first byte to its last; of the first head, from the start of the connection."""
KEEP_ALIVE_SECONDS = 75.0
"""Longer than load balancers keep idle connections: otherwise their next request meets our closing."""
STALL_SECONDS = 30.0
STALL_BYTES = 16 * 1024
"""In so many seconds, a client has to read so many bytes of its answer, or all that is left."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024
"""How long, and how much, a client may still send after a final response, so that it can read that response: closing at once
would answer its bytes with RST, which removes what it has not read yet (RFC 9112, section 9.6)."""
PROBE_SECONDS = (1.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""From each interim response to a client that has sent its last byte to the next one; the last of them repeats."""
BUFFER_BYTES = 64 * 1024
"""Bytes of a body that wait for the application, or of further requests, until the connection stops reading."""
Phase = Literal["silent", "head", "body", "response", "idle", "lingering"]
WAITING: tuple[Phase, ...] = ("silent", "head", "idle")
"""The phases without a request: the listener may end the connection to make room for another."""


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, listener: Listener, client: str, deadline: float, *, overloaded: bool) -> None:
        """``deadline``: of the first head, by the loop's clock. ``overloaded``: only probes are answered, and one."""
        self.client = client
        self.overloaded = overloaded
        self.phase: Phase = "silent"
        self._listener = listener
        self._loop = listener.loop
        self._context = contextvars.copy_context()
        self._deadline = deadline
        self._began = 0.0
        self._received = bytearray()
        """Heads that were not parsed yet."""
        self._exchange: Exchange | None = None
        self._body: BodyReader | None = None
        """None if no more of it is parsed."""
        self._keep_alive = True
        self._ended = False
        """The client has sent its last byte."""
        self._probes = 0
        self._next_probe = 0.0
        self._reading = True
        self._paused_at = 0.0
        self._writable = asyncio.Event()
        self._writable.set()
        self._lingered_bytes = 0
        self._written_bytes = 0
        self._progress_bytes = 0
        self._progress_time = 0.0

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        self._progress_time = self._loop.time()
        self._listener.note_phase(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._listener.remove(self)
        if self._exchange is not None:
            self._exchange.leave()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self.phase == "body":
            if self._body is not None:
                self._body.feed(data)
                self._read_body()
        elif self.phase == "response":
            self._received += data
            if len(self._received) > BUFFER_BYTES:
                self._pause_reading()
        elif self.phase == "lingering":
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self.transport.abort()
        else:
            if self.phase != "head":
                self._began = self._loop.time()
            self._received += data
            self._read_head()
            if self.phase in ("silent", "idle"):  # the head is not complete
                self._enter("head", self._deadline if self.phase == "silent" else self._began + HEAD_SECONDS)

    def eof_received(self) -> bool:
        """Whether the connection stays open for writing."""
        self._ended = True
        if self.phase == "head":  # of a request that came together with an earlier one
            self._read_head()
        if self._exchange is None or self.phase == "body":
            return False
        self._listener.watch(self)
        return True

    # The listener calls these.

    def check(self, now: float) -> None:
        """Once a second: end the connection if it is past one of its limits."""
        unsent = self.transport.get_write_buffer_size()
        written = self._written_bytes - unsent
        if not unsent or written - self._progress_bytes >= STALL_BYTES:
            self._progress_bytes, self._progress_time = written, now
        elif now - self._progress_time >= STALL_SECONDS:
            self.abort()
        if unsent:
            if self.phase == "lingering":
                self._deadline = now + LINGER_SECONDS
            return
        if self._ended and now >= self._next_probe:
            self._probe(now)
        if now >= self._deadline and (self._reading or self.phase != "body"):
            self._end_late()

    def turn_away(self) -> None:
        """There is no place left, not even for a probe."""
        if self.phase in ("silent", "head"):
            self._write_refusal(self._listener.describe_overload(), choose_request_id(()))
        self.transport.close()

    def stop(self) -> None:
        """The server stops: no more requests."""
        if self._exchange is None:
            self.transport.close()
        else:
            self._keep_alive = False

    # The exchange calls these.

    def write(self, data: bytes) -> None:
        self._written_bytes += len(data)
        self.transport.write(data)

    async def wait_until_writable(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()

    def want_body(self) -> None:
        """The application waits for more of the body."""
        if self.phase == "body":
            if self._body is not None:
                self._body.begin(self._loop.time())
                self._deadline = self._body.deadline
            self._resume_reading()

    def keeps_alive(self) -> bool:
        return self._keep_alive and self.phase == "response"

    def end_after_response(self) -> None:
        self._keep_alive = False

    def abort(self) -> None:
        self.transport.abort()

    def record(self, record: RequestRecord) -> None:
        self._listener.record(record)

    def finish_exchange(self) -> None:
        """The response is complete."""
        exchange, self._exchange = self._exchange, None
        whole = self.phase == "response"
        self._body = None
        if exchange is None or self.transport.is_closing():
            return
        if not self._keep_alive or not whole:
            self._end()
        elif self._received:
            self._began = self._loop.time()
            self._enter("head", self._began + HEAD_SECONDS)
            self._loop.call_soon(self._read_next, context=self._context)
        elif self._ended:
            self.transport.close()
        else:
            self._enter("idle", self._loop.time() + KEEP_ALIVE_SECONDS)
            self._resume_reading()

    def _probe(self, now: float) -> None:
        """Find out whether the client that has sent its last byte still waits for its answer."""
        exchange = self._exchange
        if self.phase != "response" or exchange is None or exchange.response_started or exchange.head.version != b"1.1":
            return
        self._next_probe = now + PROBE_SECONDS[min(self._probes, len(PROBE_SECONDS) - 1)]
        self._probes += 1
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # Heads.

    def _enter(self, phase: Phase, deadline: float) -> None:
        noted = phase in WAITING or self.phase in WAITING
        self.phase, self._deadline = phase, deadline
        if noted:
            self._listener.note_phase(self)

    def _read_next(self) -> None:
        """The bytes of further requests that came with an earlier one (pipelining)."""
        self._resume_reading()
        if self.phase == "head":
            self._read_head()
        if self.phase == "head" and self._ended:
            self.transport.close()

    def _read_head(self) -> None:
        try:
            encoded = take_head(self._received)
            if encoded is None:
                return
            head, parser = parse_head(encoded)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self._keep_alive = head.keep_alive and not self.overloaded and not self._listener.stopping
        exchange = self._exchange = Exchange(self, head, self._began, len(encoded))
        exchange.expects_continue = parser.they_are_waiting_for_100_continue
        self._body = BodyReader(parser, exchange, self._loop.time())
        self._enter("body", self._body.deadline)
        if self._received:
            self._body.feed(bytes(self._received))
            self._received.clear()
        self._read_body()
        self._listener.start(exchange, self)

    def _refuse(self, refusal: Refusal) -> None:
        """A head that no application sees."""
        request_id = choose_request_id(())
        size = self._write_refusal(refusal, request_id)
        self.record(
            RequestRecord(
                method=None,
                path=None,
                status=refusal.status,
                outcome=refusal.status,
                seconds=self._loop.time() - self._began,
                bytes_in=len(self._received),
                bytes_out=size,
                client=self.client,
                details={"request_id": request_id, "problem": refusal.message},
                state={"route": "invalid"},
            )
        )
        self._end()

    def _write_refusal(self, refusal: Refusal, request_id: str) -> int:
        headers = {**refusal.headers, "connection": "close", "x-request-id": request_id}
        response = error_response(refusal.status, refusal.message, headers=headers)
        encoded = write_head(response.status, encode_headers(response)) + response.body
        self.write(encoded)
        return len(encoded)

    # Bodies.

    def _read_body(self) -> None:
        body, exchange = self._body, self._exchange
        if body is None or exchange is None:
            return  # the response was complete before the body
        try:
            more = body.read()
        except Refusal as refusal:
            self._fail_body(refusal)
            return
        if body.complete:
            self._received += body.rest
            self._enter("response", math.inf)
            self._resume_reading()
            return
        self._deadline = body.deadline
        if more or exchange.buffered > BUFFER_BYTES:
            self._pause_reading()
        if more:
            self._loop.call_soon(self._continue_body, context=self._context)

    def _continue_body(self) -> None:
        self._read_body()
        if self._body is not None and self._exchange is not None and self._exchange.buffered <= BUFFER_BYTES:
            self._resume_reading()

    def _fail_body(self, refusal: Refusal) -> None:
        """The application gets the refusal from ``receive``."""
        self._keep_alive = False
        self._body = None
        self._deadline = math.inf
        self._pause_reading()
        if self._exchange is not None:
            self._exchange.fail(HTTPException(error_response(refusal.status, refusal.message, headers=refusal.headers)))

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._paused_at = self._loop.time()
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        """In the connection's own context: the caller's may be a request's, which would become the context of later ones."""
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            if self._body is not None:
                self._body.forgive(self._loop.time() - self._paused_at)
            if not self._ended:
                self._context.run(self.transport.resume_reading)

    # The end.

    def _end_late(self) -> None:
        if self.overloaded and self.phase in ("silent", "head"):
            self.turn_away()
        elif self.phase == "head":
            self._refuse(Refusal(408, f"The head of the request did not arrive within {HEAD_SECONDS:g} s."))
        elif self.phase == "body":
            seconds = f"{BODY_SECONDS:g} s and one more for each {BODY_BYTES_PER_SECOND} bytes"
            self._fail_body(Refusal(408, f"The body arrives too slowly: it may take {seconds}."))
        elif self.phase == "lingering":
            self.transport.abort()
        else:
            self.transport.close()

    def _end(self) -> None:
        """After a final response."""
        unread = self.phase != "response" or self._received or not self._reading
        if self._ended or not unread:
            self.transport.close()
            return
        self._received.clear()
        self._enter("lingering", self._loop.time() + LINGER_SECONDS)
        try:
            self.transport.write_eof()
        except OSError:  # the client was faster
            self.transport.abort()
            return
        self._resume_reading()
