"""How large a request's body may be, and what it may become in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from entrypoints.contract import Field
from entrypoints.response import HTTPException, Response, error_response, exhausted_response

CHARACTER_BYTES = 12
"""One character as JSON's two escapes (``\\ud83d\\ude00``), or as four escapes of a urlencoded form (``%F0%9F%98%80``)."""
NUMBER_BYTES = 512
PART_BYTES = 1024
"""The name of a field and the headers of its part."""


def find_body_size(fields: Sequence[Field], maximum: int) -> int:
    """The largest body that fields within their limits can need, in any of the media types; at most ``maximum`` bytes."""
    total = PART_BYTES
    for field in fields:
        size = find_field_size(field)
        if size is None:
            return maximum
        total += PART_BYTES + CHARACTER_BYTES * len(field.name) + size
    return min(total, maximum)


def find_field_size(field: Field) -> int | None:
    """In bytes; None if the field has no limit."""
    if field.kind in ("integer", "number"):
        return NUMBER_BYTES
    if field.kind == "choice":
        return CHARACTER_BYTES * max(map(len, field.choices), default=0)
    if field.maximum is None:
        return None
    # A file is in base64 in JSON, three bytes as four characters, and may come in lines there.
    return int(field.maximum * 1.4) + 4 if field.kind == "file" else CHARACTER_BYTES * int(field.maximum)


DEFAULT_MEMORY = 512 * 1024 * 1024
"""Bytes for all requests until the model is ready, which is when the container's free memory is known."""


class RequestMemory:
    """The memory that all requests of this process may take together: a budget of bytes."""

    def __init__(self, total: int = DEFAULT_MEMORY) -> None:
        self.total = total
        self.used = 0
        self.lock = threading.Lock()

    def share(self) -> MemoryShare:
        return MemoryShare(self)


class MemoryShare:
    """The bytes that one request holds of the budget. Another thread may close it."""

    def __init__(self, memory: RequestMemory) -> None:
        self._memory = memory
        self._taken = 0

    def grow_to(self, amount: int, what: str) -> None:
        """Hold at least ``amount`` bytes; ``what`` names them in the message.

        Raises HTTPException: 413 if the budget could never hold them, 503 if other requests hold too much of it now.
        """
        memory = self._memory
        if amount > memory.total:
            raise HTTPException(reject_memory(amount, what, memory.total))
        with memory.lock:
            more = max(0, amount - self._taken)
            fits = memory.used + more <= memory.total
            if fits:
                memory.used += more
                self._taken += more
        if not fits:
            message = f"Other requests take the memory that {what} needs; retry later."
            raise HTTPException(exhausted_response(message, 5))

    def shrink_to(self, amount: int) -> None:
        """Give back what is above ``amount`` bytes."""
        with self._memory.lock:
            less = max(0, self._taken - amount)
            self._memory.used -= less
            self._taken -= less

    def close(self) -> None:
        self.shrink_to(0)

    def __enter__(self) -> MemoryShare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reject_memory(amount: int, what: str, total: int) -> Response:
    message = (
        f"{what} would take up to {amount:,} bytes of memory here; requests have {total:,} together. Send less at once."
    )
    return error_response(413, message[:1].upper() + message[1:])
