"""A client that waits for readiness need not poll."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from entrypoints.processes.status import Status
from entrypoints.server.generate import read_wait_seconds
from entrypoints.server.receiving import Disconnected, wait_for, wait_until_disconnected
from entrypoints.server.response_writer import Receive

MAX_WAIT_SECONDS = 3600.0
"""How long a request for readiness is held at most."""


async def wait_until_decided(status: Status, headers: Mapping[bytes, bytes], receive: Receive) -> bool:
    """Wait for the end of the start as long as ``Prefer: wait=N`` says.

    False if the client disconnected. Raises HTTPException if the request has a body that is malformed.
    """
    wait_seconds = min(read_wait_seconds(headers), MAX_WAIT_SECONDS) if status.state == "starting" else 0.0
    if not wait_seconds:
        return True
    disconnected = asyncio.ensure_future(wait_until_disconnected(receive))
    try:
        await wait_for(status.decided, disconnected, wait_seconds)
    except Disconnected:
        disconnected.result()  # raises HTTPException if the request has a body that is malformed
        return False
    finally:
        disconnected.cancel()
    return True
