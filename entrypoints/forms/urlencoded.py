"""``application/x-www-form-urlencoded``, decoded in pieces: Python's own decoder makes an object of each escape."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from entrypoints.forms.multipart import MAX_PARTS

MAX_BYTES = 16 * 1024 * 1024
"""The largest urlencoded body. A client sends larger content, which is a file, as multipart/form-data or JSON."""
PIECE = 16 * 1024


def read_pairs(body: bytes) -> Iterator[tuple[str, str]]:
    """Raises ValueError, UnicodeDecodeError among them."""
    if body.count(b"&") >= MAX_PARTS:
        raise ValueError(f"it has more than {MAX_PARTS} fields")
    if not body.isascii():
        raise ValueError("it has bytes that are not ASCII; escape them by %")
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        if pair:
            yield decode(name), decode(value)


def decode(text: bytes) -> str:
    content = bytearray()
    start = 0
    while start < len(text):
        end = min(start + PIECE, len(text))
        # A piece must not end within an escape.
        cut = text.rfind(b"%", max(start, end - 2), end)
        if cut > start and end < len(text):
            end = cut
        content += unquote_to_bytes(text[start:end].replace(b"+", b" "))
        start = end
    return content.decode()
