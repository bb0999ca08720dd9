"""Secrets that can be found again: each has the same rare beginning, a name, and characters that URLs and JSON escape."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

PREFIX = "pBmK7zQ9xW"
"""The beginning of every mark. No other file has it, the source of this module aside."""


@dataclass(frozen=True)
class Mark:
    """``name`` is the way by which the secret is handed over."""

    name: str
    value: str


def make_mark(name: str) -> Mark:
    return Mark(name, f"{PREFIX}.{name}.{secrets.token_hex(6)}+/=%&")
