"""``POST /generate`` as server-sent events (HTML, section 9.2): the place in the queue, progress while the model works, then
one last event.

- ``queue``: ``{"place": 2}``, 1 is the next one, 0 at work; not sent if the model begins at once.
- ``progress``: ``{"step": 3, "steps": 8, "message": "…"}``, without the message if there is none.
- ``answer``: ``{"media_type": …, "headers": …, "json": …}``, or of other media types the content in base64 as ``body``.
- ``error``: the document of the plain response, and its status: ``{"status": 504, "error": …}``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from entrypoints.response import Response, error_response
from entrypoints.server.response_writer import ResponseWriter, Send

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "content-type": MEDIA_TYPE,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx and those that follow it would hold events back
    "connection": "close",
}
HEARTBEAT_COMMENTS = {True: b": waiting\n\n", False: b": at work\n\n"}
"""By whether the request is in the queue."""


class ProgressReport(NamedTuple):
    step: int
    steps: int
    message: str


class EventStream(ResponseWriter):
    """Until the request is in the queue, a response is sent as it is: with its own status, and no event.

    Only the latest place and the latest progress report wait to be sent: a client that reads slowly misses some, and delays
    nobody.
    """

    shows_places = True

    def __init__(self, send: Send, heartbeat: float) -> None:
        """``heartbeat``: seconds without an event until a comment is sent, so that no proxy cuts the connection; 0: never."""
        super().__init__(send)
        self._heartbeat_seconds = heartbeat or None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._wake_scheduled = False
        self._place = self._sent_place = 0
        self._latest = self._sent = ProgressReport(0, 0, "")
        self._started = False

    @property
    def progress_listener(self) -> Callable[[int, int, str], None]:
        return self._note_progress

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[None]:
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._started = True
        sending = asyncio.ensure_future(self._send_events())
        try:
            yield
        except asyncio.CancelledError:  # the server stops, and the model does not
            sending.cancel()
            await self.finish(error_response(503, "The request was not finished: the server is stopping."))
            raise
        finally:
            sending.cancel()

    async def finish(self, response: Response) -> None:
        if not self._started:
            await super().finish(response)
            return
        unsent = b"" if self._latest is self._sent else write_progress(self._latest)
        await self._send({"type": "http.response.body", "body": unsent + write_last_event(response)})

    def show_place(self, place: int) -> None:
        if place != self._place:
            self._place = place
            self._changed.set()

    def _note_progress(self, step: int, steps: int, message: str) -> None:
        self._latest = ProgressReport(step, steps, message)
        if not self._wake_scheduled:
            self._wake_scheduled = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._wake_scheduled = False
        self._changed.set()

    async def _send_events(self) -> None:
        """Until it is cancelled. If the client does not read, sending waits, and has written nothing then."""
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._changed.wait()
            except TimeoutError:
                await self._write(HEARTBEAT_COMMENTS[self._place > 0])
                continue
            self._changed.clear()
            place, latest = self._place, self._latest
            if place != self._sent_place:
                await self._write(write_event("queue", {"place": place}))
                self._sent_place = place
            if latest is not self._sent:
                await self._write(write_progress(latest))
                self._sent = latest

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


def write_progress(latest: ProgressReport) -> bytes:
    document = latest._asdict()
    if not latest.message:
        del document["message"]
    return write_event("progress", document)


def write_last_event(response: Response) -> bytes:
    if response.status != 200:
        return write_event("error", {"status": response.status, **json.loads(response.body)})
    headers = {name.lower(): value for name, value in response.headers.items()}
    return write_event("answer", {"media_type": response.media_type, "headers": headers, **describe_body(response)})


def describe_body(response: Response) -> dict[str, object]:
    kind = response.media_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {"json": json.loads(response.body)}
        except (ValueError, RecursionError):  # the model's mistake; the client gets to see it as it is
            pass
    return {"body": base64.b64encode(response.body).decode()}
