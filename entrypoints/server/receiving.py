"""Receive a client's body, and notice that the client disconnected."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from entrypoints.forms.form import reject_size
from entrypoints.forms.limits import MemoryShare
from entrypoints.response import HTTPException, error_response
from entrypoints.server.response_writer import Receive

COPIES = 2
"""The copies of a body in this process: as it arrives, and on its way to the model process."""


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


async def receive_body(receive: Receive, limit: int, share: MemoryShare, deadline: float) -> bytes:
    """The whole body. ``deadline`` on the loop's clock; the connection also limits the time by the rate.

    Raises HTTPException: 413 above ``limit`` bytes, 408 after the deadline, and what the share of memory raises. Raises
    Disconnected.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    body = bytearray()
    more = True
    while more:
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            text = f"The body did not arrive in time: {len(body):,} bytes came in {loop.time() - begun:.0f} s."
            raise HTTPException(error_response(408, text)) from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if len(body) + len(chunk) > limit:
            raise HTTPException(reject_size(limit))
        share.grow_to(COPIES * (len(body) + len(chunk)), "the body")
        if not body and not more:
            return bytes(chunk)
        body += chunk
    return bytes(body)


async def wait_until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for(future: Future[Any], disconnected: asyncio.Future[None], seconds: float | None = None) -> bool:
    """Whether the thread's future is done in time. Raises Disconnected if the client disconnects first.

    Not ``asyncio.wrap_future``: that would cancel the thread's future with ours.
    """
    done = follow(future)
    await asyncio.wait({done, disconnected}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if disconnected.done() and not future.done():
        raise Disconnected
    return future.done()


async def wait_until_done(future: Future[Any], seconds: float | None = None) -> bool:
    """As ``wait_for``, for nobody's client."""
    await asyncio.wait({follow(future)}, timeout=seconds)
    return future.done()


def follow(future: Future[Any]) -> asyncio.Future[None]:
    """Done once the thread's future is."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(mark))
    return done
