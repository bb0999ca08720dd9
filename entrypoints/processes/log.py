"""The log: one line of JSON on stderr for each event."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.errors import Fault


def log_event(event: str, **details: object) -> None:
    """In one write: the processes of several models share stderr, and ``print`` writes the end of a line separately."""
    sys.stderr.write(json.dumps({"event": event, **details}, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def log_fault(fault: Fault) -> None:
    log_event("fault", **fault.log_entry)
