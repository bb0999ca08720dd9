"""How a response is sent over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from entrypoints.response import Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def encode_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """Every 503 says when to come back (RFC 9110, section 10.2.3): after one second, unless the response knows better."""
    headers = {"content-type": response.media_type, "content-length": str(len(response.body)), **response.headers}
    if response.status == 503:
        headers.setdefault("retry-after", "1")
    elif response.status == 204:  # it has no body, and must not have its length either
        del headers["content-type"], headers["content-length"]
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]


class ResponseWriter:
    """Sends a client its response: all of it, at the end."""

    shows_places = False
    """Whether ``show_place`` does anything."""

    def __init__(self, send: Send) -> None:
        self._send = send

    @property
    def progress_listener(self) -> Callable[[int, int, str], None] | None:
        """Called from any thread with the step that the model did, the number of steps, and a message."""
        return None

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[None]:
        """Entered while the request waits in the queue, and while the model works."""
        yield

    def show_place(self, place: int) -> None:
        """In the queue: 1 is the next one, 0 at work. Called if it may have changed."""

    async def finish(self, response: Response) -> None:
        await send_response(self._send, response)


async def send_response(send: Send, response: Response) -> None:
    """If the client still sends its body, the connection drops a bounded part of it, so that the client can read the response."""
    await send({"type": "http.response.start", "status": response.status, "headers": encode_headers(response)})
    await send({"type": "http.response.body", "body": response.body})
