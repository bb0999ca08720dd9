"""The body of one request as it arrives: parsed by h11, in small portions, against the clock."""

from __future__ import annotations

import math

import h11

from entrypoints.server.http.exchange import Exchange
from entrypoints.server.http.request_head import Refusal, refuse

BODY_SECONDS = 20.0
BODY_BYTES_PER_SECOND = 1024
"""A body may take `BODY_SECONDS`, and one second more for each of so many bytes that have arrived."""
EVENTS_PER_TURN = 256
"""Chunks that are parsed until other connections have their turn."""
MAX_SMALL_CHUNKS = 10_000
SMALL_CHUNK_BYTES = 64
"""A body of more chunks, shorter than this on average, is refused: each costs as much processor time as a whole request line."""


class BodyReader:
    def __init__(self, parser: h11.Connection, exchange: Exchange, now: float) -> None:
        """``now``: by the loop's clock. A client that waits for ``100 Continue`` has time until it gets that."""
        self.complete = False
        self.rest = b""
        """The bytes that arrived after the body."""
        self._parser = parser
        self._exchange = exchange
        self._began = math.inf if exchange.expects_continue else now
        self._bytes = 0
        self._chunks = 0
        self._tail = b""
        """For a chunked body: the bytes that were fed last, and the four before them."""

    @property
    def deadline(self) -> float:
        """Until when more has to arrive."""
        return self._began + BODY_SECONDS + self._bytes / BODY_BYTES_PER_SECOND

    def begin(self, now: float) -> None:
        """The client may send the body from now on, if it waited until now."""
        self._began = min(self._began, now)

    def forgive(self, seconds: float) -> None:
        """Nothing was read so long, which was not the client's fault."""
        self._began += seconds

    def feed(self, data: bytes) -> None:
        self._parser.receive_data(data)
        self._exchange.bytes_in += len(data)
        if self._exchange.head.chunked:
            self._tail = self._tail[-4:] + data

    def read(self) -> bool:
        """Give the exchange what can be parsed. Whether more of what was fed is left for another turn. Raises Refusal."""
        try:
            for _ in range(EVENTS_PER_TURN):
                event = self._parser.next_event()
                if isinstance(event, h11.Data):
                    self._add(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._end()
                    return False
                else:
                    return False
        except h11.RemoteProtocolError as error:
            raise refuse(error, 400) from None
        return True

    def _add(self, data: bytes) -> None:
        self._exchange.add_body(data)
        self._bytes += len(data)
        self._chunks += 1
        if self._exchange.head.chunked and self._chunks > max(MAX_SMALL_CHUNKS, self._bytes // SMALL_CHUNK_BYTES):
            raise Refusal(400, f"The body has {self._chunks} chunks for {self._bytes} bytes; send larger chunks.")

    def _end(self) -> None:
        self.rest, _ = self._parser.trailing_data
        # h11 lets a chunked body end with a bare LF; for a proxy it may go on there.
        if self._exchange.head.chunked and not self._tail[: len(self._tail) - len(self.rest)].endswith(b"\r\n\r\n"):
            raise Refusal(400, "The chunked body does not end with CR LF.")
        self._exchange.bytes_in -= len(self.rest)
        self._exchange.end_body()
        self.complete = True
