"""Answers of the server as values, and how they travel over ASGI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Reply(NamedTuple):
    """``headers`` beside content-type and content-length."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Refusal(Exception):
    """A request ends here with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(status: int, document: object, headers: Mapping[str, str] | None = None) -> Reply:
    # Half of a surrogate pair, which a form may quote, is written as JSON's own escape.
    body = json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"
    return Reply(status, body, headers={"cache-control": "no-store", **(headers or {})})


def error_reply(
    status: int, message: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """``{"error": {"message": …, "fields": {name: what is wrong}}}``."""
    return json_reply(status, {"error": {"message": message, "fields": dict(fields or {})}}, headers)


def encode_headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    headers = {"content-type": reply.media_type, "content-length": str(len(reply.body)), **reply.headers}
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]


class Outlet:
    """How a client gets its reply: all of it, at the end."""

    def __init__(self, send: Send) -> None:
        self._send = send

    @property
    def listener(self) -> Callable[[int, int, str], None] | None:
        """Called from any thread with the step that the model did, of how many, and a message."""
        return None

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[None]:
        """While the request waits for its turn, and while the model works."""
        yield

    def tell_place(self, place: int) -> None:
        """In the queue: 1 is the next one, 0 at work. Called when it may have changed."""

    async def finish(self, reply: Reply) -> None:
        await send_reply(self._send, reply)


async def send_reply(send: Send, reply: Reply) -> None:
    """Where the client still sends its body, uvicorn goes on reading and dropping it, so that it can read the reply."""
    await send({"type": "http.response.start", "status": reply.status, "headers": encode_headers(reply)})
    await send({"type": "http.response.body", "body": reply.body})
