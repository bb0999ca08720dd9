"""One line of JSON on stderr for each thing worth knowing."""

from __future__ import annotations

import json
import sys


def log_event(event: str, **details: object) -> None:
    """In one write: the processes of several models share stderr, and ``print`` writes the end of a line apart."""
    sys.stderr.write(json.dumps({"event": event, **details}, ensure_ascii=False) + "\n")
    sys.stderr.flush()
