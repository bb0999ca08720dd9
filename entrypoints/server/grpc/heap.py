"""Gives memory of large messages back to the system: grpcio joins them in glibc's heap, which keeps what was freed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from entrypoints.runtime.arena import trim_heap

LARGE_BYTES = 1 << 20
"""A message of this size is large. After smaller ones, giving memory back is not worth the time."""
TRIM_SECONDS = 1.0
"""How long memory is kept after a call: under steady load, the next call uses it again."""


class Heap:
    def __init__(self, is_idle: Callable[[], bool]) -> None:
        """``is_idle``: whether no call is open."""
        self._is_idle = is_idle
        self._timer: asyncio.TimerHandle | None = None

    def note(self, message_bytes: int) -> None:
        """A call has ended. From the event loop."""
        if message_bytes >= LARGE_BYTES and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        self._timer = None
        if not self._is_idle():
            self.note(LARGE_BYTES)
            return
        with suppress(RuntimeError):  # the limit of threads: the memory stays until the next large message
            asyncio.get_running_loop().run_in_executor(None, trim_heap)
