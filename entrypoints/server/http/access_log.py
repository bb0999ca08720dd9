"""One line of JSON for each request."""

from __future__ import annotations

from collections.abc import Mapping
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
    outcome: int
    """The status that the answer would have had, if an event stream had not begun with 200; else ``status``."""
    seconds: float
    """From the first byte of the head to the last byte of the answer that was handed to the kernel's buffer or ours."""
    bytes_in: int
    """On the wire, the head included."""
    bytes_out: int
    client: str
    details: dict[str, Any]
    """``request_id``; ``trace_id`` and ``problem`` if there is one."""
    state: Mapping[str, Any]
    """What the application noted in ``scope["state"]``: ``route``, ``probe``, ``model``, ``served``, ``call``."""

    @property
    def is_probe(self) -> bool:
        """Also of what an open page asks for every few seconds."""
        return bool(self.state.get("probe")) or self.state.get("route") == "/status"


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
            **{**record.details, **describe_work(record)},
        )


def describe_work(record: RequestRecord) -> dict[str, Any]:
    """The model, the seconds in its queue and at work if it began, and the outcome of an event stream that failed."""
    state = record.state
    work: dict[str, Any] = {"model": state["model"]} if state.get("model") else {}
    if record.outcome != record.status:
        work["outcome"] = record.outcome
    inference = state["call"].inference if "call" in state else None
    if inference is not None and inference.began:
        work["queue_seconds"] = round(inference.started.result(), 6)
        work["generate_seconds"] = round(inference.seconds, 6)
    return work
