"""Requests that wait for something, as long as their client does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from entrypoints.forms import Disconnected
from entrypoints.replies import Receive


def read_patience(headers: Mapping[bytes, bytes]) -> float:
    """Seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3); 0 where it is not asked for."""
    found = re.search(rb'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})', headers.get(b"prefer", b"").lower())
    return float(found[1]) if found else 0.0


async def wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for(future: Future[Any], gone: asyncio.Future[None], seconds: float | None = None) -> bool:
    """Whether the thread's future is done in time. Raises Disconnected where the client goes first.

    Not ``asyncio.wrap_future``: that would cancel the thread's future with ours.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(mark))
    await asyncio.wait({done, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if gone.done() and not future.done():
        raise Disconnected
    return future.done()
