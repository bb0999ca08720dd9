"""The log: one line of JSON on stderr for each event."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.errors import Fault


request_context: ContextVar[Mapping[str, str]] = ContextVar("request_context", default={})  # noqa: B039 (read only)
"""What every line about the current request has: ``request_id``, and ``trace_id`` if the client sent a ``traceparent``."""


def log_event(event: str, **details: object) -> None:
    """In one write: the processes of several models share stderr, and ``print`` writes the end of a line separately."""
    sys.stderr.write(json.dumps({"event": event, **details, **request_context.get()}, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def log_fault(fault: Fault) -> None:
    log_event("fault", **fault.log_entry)
