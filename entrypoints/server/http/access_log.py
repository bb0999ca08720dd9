"""One line of JSON for each request."""

from __future__ import annotations

from typing import Any, NamedTuple

from entrypoints.processes.log import log_event

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that disconnected before its answer; it is counted and logged, not sent."""
MAX_PATH_CHARACTERS = 200


class RequestRecord(NamedTuple):
    method: str | None
    """None, as the path, if the head of the request was refused."""
    path: str | None
    status: int
    seconds: float
    """From the first byte of the head to the last byte of the answer that was handed to the kernel's buffer or ours."""
    bytes_in: int
    """On the wire, the head included."""
    bytes_out: int
    client: str
    details: dict[str, Any]
    """``request_id``; ``trace_id``, ``model`` and ``problem`` if there is one."""
    is_probe: bool = False


class AccessLog:
    def __init__(self, mode: str) -> None:
        """``on``: probes only if they fail. ``all``: probes too. ``off``: nothing."""
        self._mode = mode

    def write(self, record: RequestRecord) -> None:
        if self._mode == "off":
            return
        if self._mode == "on" and record.status < 400 and record.is_probe:
            return
        path = record.path
        if path is not None and len(path) > MAX_PATH_CHARACTERS:
            path = path[:MAX_PATH_CHARACTERS] + "…"
        log_event(
            "request",
            method=record.method,
            path=path,
            status=record.status,
            seconds=round(record.seconds, 6),
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            client=record.client,
            **record.details,
        )
