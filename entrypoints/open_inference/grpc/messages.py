"""Small messages as dictionaries, as JSON has them: decoded and encoded by the tables of ``schema``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from entrypoints.open_inference.grpc.schema import MESSAGES, MessageField
from entrypoints.open_inference.grpc.wire import (
    FIXED64,
    LENGTH,
    MAX_FIELDS,
    VARINT,
    NotProtobuf,
    WireField,
    read_text,
    read_varint,
    scan,
    to_signed,
    write_head,
    write_tag,
    write_varint,
)


def encode(message: str, values: Mapping[str, Any]) -> bytes:
    """``values``: of the fields by name. Values of names that the message does not have are left out."""
    schema = MESSAGES[message]
    written: list[bytes] = []
    for name, field in schema.items():
        value = values.get(name)
        if value is None:
            continue
        if field.repeated and field.kind == "int64":
            packed = b"".join(map(write_varint, value))
            written.append(write_head(field.number, len(packed)) + packed if packed else b"")
            continue
        for each in value if field.repeated else (value,):
            written.append(encode_field(field, each))
    return b"".join(written)


def encode_field(field: MessageField, value: Any) -> bytes:
    """Writes default values too: a reader accepts both."""
    if field.kind in ("string", "bytes", "message"):
        content = value if isinstance(value, bytes) else encode_content(field, value)
        return write_head(field.number, len(content)) + content
    if field.kind == "double":
        return write_tag(field.number, FIXED64) + struct.pack("<d", value)
    return write_tag(field.number, VARINT) + write_varint(field.values[value] if field.kind == "enum" else int(value))


def encode_content(field: MessageField, value: Any) -> bytes:
    if field.kind == "message":
        return encode(field.message, value)
    return str(value).encode("utf-8", "replace")


def decode(message: str, content: bytes) -> dict[str, Any]:
    """The fields that came, by name; unknown ones are skipped. Of a field that came twice the last value counts, of a
    repeated one all. Raises NotProtobuf."""
    return Decoder(content).read(message, 0, len(content))


class Decoder:
    """Reads one message and those in it. No table of messages has a circle, so that the depth has a bound."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._fields = count()

    def read(self, message: str, start: int, end: int) -> dict[str, Any]:
        names = {field.number: (name, field) for name, field in MESSAGES[message].items()}
        values: dict[str, Any] = {}
        for wire in scan(self._content, start, end, self._fields):
            if wire.number not in names:
                continue
            name, field = names[wire.number]
            if field.is_map:
                values.setdefault(name, {}).update(self._read_entry(field, wire))
            elif not field.repeated:
                values[name] = self._read_field(field, wire)
            elif field.kind == "int64" and wire.kind == LENGTH:
                values.setdefault(name, []).extend(read_packed(self._content, wire, self._fields))
            else:
                values.setdefault(name, []).append(self._read_field(field, wire))
        return values

    def _read_field(self, field: MessageField, wire: WireField) -> Any:
        content = self._content
        expected = EXPECTED_KINDS.get(field.kind, VARINT)
        if wire.kind != expected:
            raise NotProtobuf(f"field {wire.number} has the wire type {wire.kind}, should have {expected}")
        if field.in_place:
            return wire.start, wire.end
        if field.kind == "message":
            return self.read(field.message, wire.start, wire.end)
        if field.kind == "string":
            return read_text(content, wire)
        if field.kind == "bytes":
            return content[wire.start : wire.end]
        if field.kind == "double":
            return struct.unpack_from("<d", content, wire.start)[0]
        return CONVERSIONS[field.kind](wire.value)

    def _read_entry(self, field: MessageField, wire: WireField) -> dict[str, Any]:
        """One entry of a map whose values are a choice of types: ``{"priority": 1}``."""
        if wire.kind != LENGTH:
            raise NotProtobuf(f"field {wire.number} should be an entry of a map")
        key, value = "", None
        for part in scan(self._content, wire.start, wire.end, self._fields):
            if part.number == 1:
                key = read_text(self._content, part)
            elif part.number == 2 and part.kind == LENGTH:
                choice = self.read(field.message, part.start, part.end)
                value = next(reversed(choice.values()), None)
        return {key: value}


EXPECTED_KINDS = {"string": LENGTH, "bytes": LENGTH, "message": LENGTH, "double": FIXED64}
CONVERSIONS: Mapping[str, Callable[[int], int | bool]] = {
    "bool": bool,
    "int32": to_signed,
    "int64": to_signed,
    "uint32": int,
    "uint64": int,
}
"""By the type of a field that is sent as a varint, the function that makes its value."""


def read_packed(content: bytes, wire: WireField, fields: Iterator[int]) -> Iterator[int]:
    """The lengths of axes. ``fields`` counts those of the whole message, and each length as one. Raises NotProtobuf."""
    start = wire.start
    while start < wire.end:
        if next(fields) >= MAX_FIELDS:
            raise NotProtobuf(f"a message has more than {MAX_FIELDS} fields")
        value, start = read_varint(content, start, wire.end)
        yield to_signed(value)
