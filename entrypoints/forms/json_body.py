"""JSON whose size in memory is known before it is parsed."""

from __future__ import annotations

import json
from typing import Any

MAX_LISTED = 10
"""Problems of one kind that a message lists."""


def estimate_json_bytes(body: bytes) -> int:
    """At most how many bytes of memory the text and its parsed values take.

    Counting characters takes far less time than parsing. Characters of texts are counted as if they were JSON's own, so that the
    estimate is never too low.
    """
    # The text, the texts in it of up to four bytes a character, and a decoded file.
    widths = 3 if body.isascii() and b"\\u" not in body else 9
    return (
        widths * len(body)
        + 300 * body.count(b"{")
        + 120 * body.count(b"[")
        + 90 * body.count(b",")
        + 500 * body.count(b":")  # its key, and the entries of three tables
    )


def read_json(body: bytes) -> Any:
    """Raises ValueError (RecursionError for too many levels) for what RFC 8259 does not have, and for repeated names."""
    text = body.decode("utf-8-sig")
    return json.loads(text, object_pairs_hook=make_object, parse_constant=refuse_constant)


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {repeated[:60]!r} is given twice")
    return document


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
