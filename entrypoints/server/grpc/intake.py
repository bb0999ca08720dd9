"""Receives the messages of calls. gRPC gives a message once it is complete, so the memory that messages take while they come is
bounded by their number."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any, Protocol

from entrypoints.contract import BadRequest
from entrypoints.forms.limits import RequestMemory
from entrypoints.response import HTTPException, error_response, exhausted_response

MIN_PLACES, MAX_PLACES = 4, 8
"""The fewest and the most messages that come at once."""
COPIES = 3
"""How often the server holds a message while it comes: in gRPC's core, joined, and as Python's bytes."""
MAX_CALLS = 1024
"""The most calls that may be open. A call that waits for a place holds at most 64 KiB of its message: the window of its
stream."""
PROBE_PLACES = 16
"""Further places, for the small messages of probes alone, so that liveness stays reachable."""
PROBE_SECONDS = 2.0
CONTENDED_SECONDS = 10.0
"""A message that takes longer gives its place to others if one waits."""
CHECK_SECONDS = 0.5


class Context(Protocol):
    """The part of ``grpc.aio.ServicerContext`` that is used here."""

    def read(self) -> Awaitable[Any]: ...


class Intake:
    def __init__(self, memory: RequestMemory, largest: int) -> None:
        """``memory``: what the bodies of all requests may take. ``largest``: the bytes of the largest message."""
        self._memory = memory
        self._largest = largest
        self._receiving = 0
        self._probes: dict[asyncio.Future[Any], None] = {}
        """The messages of probes that are awaited, oldest first."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def receive(self, context: Context, seconds: float) -> bytes:
        """A whole message. Raises HTTPException: 503 (exhausted) if too many come, 408 if it takes longer than ``seconds``.
        Raises BadRequest if there is none."""
        if len(self._waiting) >= MAX_CALLS:
            raise HTTPException(exhausted_response(f"{MAX_CALLS} calls wait to be received; retry later.", 5))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._take_place(seconds)
        try:
            reading = asyncio.ensure_future(context.read())
            try:
                while not reading.done():
                    await asyncio.wait({reading}, timeout=CHECK_SECONDS)
                    past = loop.time() - begun
                    if not reading.done() and (past > seconds or (self._waiting and past > CONTENDED_SECONDS)):
                        raise HTTPException(reject_slow(past))
                return require_message(reading.result())
            finally:
                reading.cancel()
        finally:
            self._receiving -= 1
            self._call_next()

    async def receive_probe(self, context: Context) -> bytes:
        """A small message. If all places are taken, the call that has waited longest gives way: a probe's message comes with its
        head. Raises as ``receive`` does."""
        if len(self._probes) >= PROBE_PLACES:
            oldest = next(iter(self._probes))
            del self._probes[oldest]
            oldest.cancel()
        reading = asyncio.ensure_future(context.read())
        self._probes[reading] = None
        try:
            await asyncio.wait({reading}, timeout=PROBE_SECONDS)
            if reading.cancelled():
                raise HTTPException(exhausted_response(f"{PROBE_PLACES} newer probes came; retry later.", 1))
            if not reading.done():
                raise HTTPException(reject_slow(PROBE_SECONDS))
            return require_message(reading.result())
        finally:
            self._probes.pop(reading, None)
            reading.cancel()

    @property
    def _places(self) -> int:
        return max(MIN_PLACES, min(MAX_PLACES, self._memory.total // (COPIES * self._largest)))

    async def _take_place(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while self._receiving >= self._places:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout_at(deadline):
                    await turn
            except BaseException as error:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.cancelled():  # it was called, and leaves
                    self._call_next()
                if not isinstance(error, TimeoutError):
                    raise
                raise HTTPException(exhausted_response("Other messages are being received; retry later.", 5)) from None
        self._receiving += 1

    def _call_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def require_message(message: Any) -> bytes:
    if not isinstance(message, bytes):  # grpc.EOF: the client sent its end, and no message
        raise BadRequest("The call has no message.", status=400)
    return message


def reject_slow(seconds: float) -> Any:
    return error_response(408, f"The message did not arrive in time: it was not complete after {seconds:.0f} s.")
