"""``POST /generate`` as server-sent events (HTML, section 9.2): the place in the queue, progress while the model works, then
one last event.

``queue``: ``{"place": 2}``, 1 is the next one, 0 at work; nothing where the model begins at once. ``progress``: ``{"step": 3,
"steps": 8, "message": "…"}``, the message where there is one. ``answer``: ``{"media_type": …, "headers": …, "json": …}``, or
in place of ``json`` any other content in base64 as ``body``. ``error``: what the plain form answers, and its status:
``{"status": 504, "error": …}``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from entrypoints.replies import Outlet, Reply, Send, error_reply

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "content-type": MEDIA_TYPE,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx and those that follow it would hold events back
    "connection": "close",
}
COMMENTS = {True: b": waiting\n\n", False: b": at work\n\n"}
"""By whether the request is in the queue."""


class Step(NamedTuple):
    step: int
    steps: int
    message: str


class EventStream(Outlet):
    """Until the request is in the queue, a reply is sent as it is: with its own status, and no event.

    Of the places and of the model's reports the latest waits to be sent, and no other: who reads slowly misses some, and
    delays nobody.
    """

    def __init__(self, send: Send, heartbeat: float) -> None:
        """``heartbeat``: seconds without news until a comment is sent, so that no proxy cuts the line; 0: never."""
        super().__init__(send)
        self._heartbeat = heartbeat or None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._woken = False
        self._place = self._shown_place = 0
        self._latest = self._shown = Step(0, 0, "")
        self._begun = False

    @property
    def listener(self) -> Callable[[int, int, str], None]:
        return self._hear

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[None]:
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._begun = True
        showing = asyncio.ensure_future(self._show())
        try:
            yield
        except asyncio.CancelledError:  # the server stops, and the model does not
            showing.cancel()
            await self.finish(error_reply(503, "The request was not finished: the server is stopping."))
            raise
        finally:
            showing.cancel()

    async def finish(self, reply: Reply) -> None:
        if not self._begun:
            await super().finish(reply)
            return
        unseen = b"" if self._latest is self._shown else write_progress(self._latest)
        await self._send({"type": "http.response.body", "body": unseen + write_end(reply)})

    def tell_place(self, place: int) -> None:
        if place != self._place:
            self._place = place
            self._news.set()

    def _hear(self, step: int, steps: int, message: str) -> None:
        self._latest = Step(step, steps, message)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = False
        self._news.set()

    async def _show(self) -> None:
        """Ends by being cancelled: sending waits while the client does not read, and has written nothing then."""
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    await self._news.wait()
            except TimeoutError:
                await self._write(COMMENTS[self._place > 0])
                continue
            self._news.clear()
            place, latest = self._place, self._latest
            if place != self._shown_place:
                await self._write(write_event("queue", {"place": place}))
                self._shown_place = place
            if latest is not self._shown:
                await self._write(write_progress(latest))
                self._shown = latest

    async def _write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


def accepts_events(accept: bytes) -> bool:
    """Whether an Accept header (RFC 9110, section 12.5.1) names event streams, with any weight but 0."""
    for entry in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        if kind == MEDIA_TYPE:
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def write_event(name: str, document: object) -> bytes:
    """JSON in one line and in ASCII, so that it is one ``data`` line of an event."""
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()


def write_progress(latest: Step) -> bytes:
    document = latest._asdict()
    if not latest.message:
        del document["message"]
    return write_event("progress", document)


def write_end(reply: Reply) -> bytes:
    if reply.status != 200:
        return write_event("error", {"status": reply.status, **json.loads(reply.body)})
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return write_event("answer", {"media_type": reply.media_type, "headers": headers, **describe_body(reply)})


def describe_body(reply: Reply) -> dict[str, object]:
    kind = reply.media_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {"json": json.loads(reply.body)}
        except (ValueError, RecursionError):  # the model's mistake; the client gets to see it as it is
            pass
    return {"body": base64.b64encode(reply.body).decode()}
