"""One line of JSON on stderr for each thing worth knowing."""

from __future__ import annotations

import json
import sys


def log_event(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}, ensure_ascii=False), file=sys.stderr, flush=True)
