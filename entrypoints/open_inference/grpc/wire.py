"""The wire format of protocol buffers (protobuf.dev/programming-guides/encoding): fields of a message, read and written.

Clients send these messages, so the number of fields is bounded, and nothing is copied until a caller asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Types of fields on the wire."""
MAX_FIELDS = 4096
"""The most fields of a message, with the fields of nested messages and each element of repeated fields. Without a bound, a
message of nothing but two-byte fields would take minutes."""
MAX_VARINT_BYTES = 10
MASK = 2**64 - 1


class NotProtobuf(ValueError):
    """The bytes are not the message that they should be. The text is an answer to the client."""


class WireField(NamedTuple):
    """``value``: of a varint, unsigned. ``start`` and ``end``: where the content of other types lies."""

    number: int
    kind: int
    value: int
    start: int
    end: int


def scan(
    content: bytes, start: int = 0, end: int | None = None, fields: Iterator[int] | None = None
) -> Iterator[WireField]:
    """The fields of the message in ``content[start:end]``. ``fields`` counts those of the message that it is a part of.

    Raises NotProtobuf.
    """
    end = len(content) if end is None else end
    fields = fields or count()
    while start < end:
        if next(fields) >= MAX_FIELDS:
            raise NotProtobuf(f"a message has more than {MAX_FIELDS} fields")
        tag, start = read_varint(content, start, end)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, start = read_varint(content, start, end)
            yield WireField(number, kind, value, start, start)
            continue
        if kind == LENGTH:
            size, start = read_varint(content, start, end)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise NotProtobuf(f"field {number} has the wire type {kind}")
        if size > end - start:
            raise NotProtobuf(f"field {number} has {size} bytes, {end - start} follow")
        yield WireField(number, kind, 0, start, start + size)
        start += size


def read_varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """The value and where it ends. Raises NotProtobuf."""
    value = shift = 0
    for position in range(start, min(end, start + MAX_VARINT_BYTES)):
        byte = content[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MASK, position + 1
        shift += 7
    raise NotProtobuf("a number does not end")


def read_text(content: bytes, field: WireField) -> str:
    """Raises NotProtobuf."""
    if field.kind != LENGTH:
        raise NotProtobuf(f"field {field.number} should be text")
    try:
        return content[field.start : field.end].decode()
    except UnicodeDecodeError:
        raise NotProtobuf(f"field {field.number} is not UTF-8") from None


def to_signed(value: int) -> int:
    """The value of an int32 or int64: a varint has its two's complement in 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def write_varint(value: int) -> bytes:
    """A negative one in two's complement."""
    value &= MASK
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_tag(number: int, kind: int) -> bytes:
    return write_varint(number << 3 | kind)


def write_head(number: int, size: int) -> bytes:
    """Tag and length, which come before a content of ``size`` bytes."""
    return write_tag(number, LENGTH) + write_varint(size)
