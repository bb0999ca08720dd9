"""The body of ``POST /generate`` as named parts: multipart, urlencoded or JSON, in memory, never on disk.

The container's file system is read-only, so that no file can be spooled; the body limit bounds the memory instead.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from entrypoints.server.responses import HTTPException, Receive, Response, error_response

if TYPE_CHECKING:
    from typing import Protocol

    from python_multipart.multipart import MultipartCallbacks

    class Parser(Protocol):
        """Takes the body in chunks, gives the parts at its end. Both raise ValueError for a body that is malformed."""

        def write(self, data: bytes) -> object: ...

        def finish(self) -> Form: ...


MAX_PARTS = 1000
ENCODINGS = "multipart/form-data, application/x-www-form-urlencoded or application/json"


class Form(NamedTuple):
    """Parts by name: ``bytes`` for a file; from JSON any JSON value, with files in base64."""

    parts: Mapping[str, object]
    is_json: bool = False


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


async def read_form(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> Form:
    """Read the body, at most ``limit`` bytes of it. Raises HTTPException (400, 413, 415) or Disconnected."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise HTTPException(reject_size(limit))
    try:
        parser = choose_parser(headers.get(b"content-type", b"").decode("latin-1"))
        async for chunk in read_chunks(receive, limit):
            parser.write(chunk)
        return parser.finish()
    except (ValueError, RecursionError) as error:
        raise HTTPException(error_response(400, f"The body cannot be read: {error}.")) from None


def reject_size(limit: int) -> Response:
    return error_response(413, f"The body is larger than {limit} bytes, the most that this model accepts.")


async def read_chunks(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > limit:
            raise HTTPException(reject_size(limit))
        more = message.get("more_body", False)
        yield chunk


def choose_parser(content_type: str) -> Parser:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return MultipartBody(content_type)
    if kind == "application/x-www-form-urlencoded":
        return UrlencodedBody()
    if kind == "application/json":
        return JsonBody()
    raise HTTPException(error_response(415, f"The content type is {kind or 'not given'}; send {ENCODINGS}."))


class JsonBody:
    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._chunks.append(data)

    def finish(self) -> Form:
        document = json.loads(b"".join(self._chunks))
        if not isinstance(document, dict):
            raise ValueError("the JSON should be an object of fields")
        return Form({name: value for name, value in document.items() if value is not None}, is_json=True)


class UrlencodedBody(JsonBody):
    def finish(self) -> Form:
        text = b"".join(self._chunks).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS)
        return Form(collect_parts(list(pairs)))


class MultipartBody:
    """Collects what python-multipart's parser reports (RFC 7578)."""

    def __init__(self, content_type: str) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise ValueError("the content type has no boundary")
        self._parts: list[tuple[str, object]] = []
        self._header = (b"", b"")
        self._disposition = b""
        self._chunks: list[bytes] = []
        self._ended = False
        self._parse_options = parse_options_header
        self._parser = MultipartParser(boundary, self._callbacks())

    def write(self, data: bytes) -> None:
        self._parser.write(data)

    def finish(self) -> Form:
        self._parser.finalize()
        if not self._ended:
            raise ValueError("it ends before its closing boundary")
        return Form(collect_parts(self._parts))

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._add_header(b"", data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._chunks.append(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end_body,
        }

    def _begin_part(self) -> None:
        if len(self._parts) >= MAX_PARTS:
            raise ValueError(f"it has more than {MAX_PARTS} parts")
        self._disposition, self._chunks = b"", []

    def _add_header(self, name: bytes, value: bytes) -> None:
        self._header = (self._header[0] + name, self._header[1] + value)

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (b"", b"")

    def _end_part(self) -> None:
        options = self._parse_options(self._disposition)[1]
        if b"name" not in options:
            raise ValueError("a part has no name in its Content-Disposition")
        content = b"".join(self._chunks)
        name = options[b"name"].decode()
        if b"filename" not in options:
            self._parts.append((name, content.decode()))
        elif content or options[b"filename"]:  # a browser sends an empty file without a name if none was chosen
            self._parts.append((name, content))
        self._chunks = []

    def _end_body(self) -> None:
        self._ended = True


def collect_parts(pairs: list[tuple[str, object]]) -> dict[str, object]:
    parts: dict[str, object] = {}
    for name, value in pairs:
        if name in parts:
            raise ValueError(f"the field {name!r} is given twice")
        parts[name] = value
    return parts
