"""Output of actions: results on stdout, log lines on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.io.log import log_to_stderr as log

__all__ = ["log", "print_json", "show"]


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def show(document: Mapping[str, Any] | Sequence[Any], text: str, *, as_json: bool) -> None:
    """Print a result as JSON for a program or as text for a person."""
    if as_json:
        print_json(document)
    else:
        print(text)
