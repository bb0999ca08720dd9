"""Bodies with a Content-Encoding: gzip and deflate (RFC 9110, section 8.4)."""

from __future__ import annotations

import zlib

GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 31, 15, -15
"""zlib's ``wbits`` for the three formats."""


class TooLarge(Exception):
    """The content is larger than the limit."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The content, at most ``limit`` bytes of it: a small body may hold gigabytes. Raises ValueError, and TooLarge."""
    try:
        if encoding != "deflate":
            return _decompress(body, GZIP_WINDOW, limit)
        # Some clients send "deflate" without zlib's two bytes of header.
        return _decompress(body, ZLIB_WINDOW if _has_zlib_header(body) else RAW_WINDOW, limit)
    except zlib.error as error:
        raise ValueError(f"it is not {encoding}: {error}") from None


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950, section 2.2: method 8, and both bytes as one number are a multiple of 31."""
    return len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _decompress(body: bytes, window: int, limit: int) -> bytes:
    content, rest = bytearray(), body
    while True:
        decoder = zlib.decompressobj(window)
        content += decoder.decompress(rest, limit + 1 - len(content))
        if len(content) > limit:
            raise TooLarge
        if not decoder.eof:
            raise ValueError("its compressed content ends too early")
        rest = decoder.unused_data
        if not rest:
            return bytes(content)
        if window != GZIP_WINDOW:  # gzip alone may have several members (RFC 1952, section 2.2)
            raise ValueError("bytes follow its compressed content")
