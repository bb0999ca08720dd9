"""The log of a command: lines on stderr. stdout is for results."""

from __future__ import annotations

import sys
from collections.abc import Callable

Log = Callable[[str], None]


def log_to_stderr(line: str) -> None:
    """Log lines go to stderr; stdout is for data."""
    print(line, file=sys.stderr, flush=True)


def silent(line: str) -> None:
    """A log that drops its lines."""
