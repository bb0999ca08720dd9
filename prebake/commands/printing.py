"""How actions print: results to stdout, narration to stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.process import narrate as tell

__all__ = ["print_json", "show", "tell"]


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def show(document: Mapping[str, Any] | Sequence[Any], text: str, *, as_json: bool) -> None:
    """The same result for a program or for a person."""
    if as_json:
        print_json(document)
    else:
        print(text)
