"""The body of ``POST /generate`` as named parts: multipart, urlencoded or JSON, in memory, never on disk.

The container's file system is read-only, so that no file can be spooled. A budget bounds the memory instead
(``entrypoints.forms.limits``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.forms.limits import MemoryShare
from entrypoints.forms.raw_request import JSON, MULTIPART, RawRequest, find_media_type
from entrypoints.response import HTTPException, Response, error_response

if TYPE_CHECKING:
    from typing import Protocol

    class Encoded(Protocol):
        @property
        def body(self) -> bytes: ...

        @property
        def encoding(self) -> str: ...


class Form(NamedTuple):
    """Parts by name: ``bytes`` for a file; from JSON any JSON value, with files in base64."""

    parts: Mapping[str, object]
    is_json: bool = False


def read_form(request: RawRequest, limit: int, share: MemoryShare) -> Form:
    """``limit``: bytes of the decompressed body. ``share`` grows before memory is taken.

    Raises HTTPException: 400 for a malformed body, 413 for one that is too large, 503 if memory is short now.
    """
    try:
        body = read_content(request, limit, share)
        kind = find_media_type(request.content_type)
        if kind == JSON:
            return read_json_form(body, share)
        return Form(collect_parts(read_pairs(kind, request.content_type, body, share)))
    except (ValueError, RecursionError) as error:
        raise HTTPException(error_response(400, f"The body cannot be read: {error}.")) from None


def read_content(request: Encoded, limit: int, share: MemoryShare) -> bytes:
    """The body without its Content-Encoding. Raises ValueError for one that is damaged."""
    share.grow_to(len(request.body), "the body")
    if not request.encoding:
        return request.body
    from entrypoints.forms.compression import TooLarge, decompress  # here, so that no start waits for this import

    share.grow_to(min(limit, find_largest_content(request.body)), "the decompressed body")
    try:
        return decompress(request.body, request.encoding, limit)
    except TooLarge:
        raise HTTPException(reject_size(limit)) from None


def find_largest_content(body: bytes) -> int:
    """DEFLATE makes at most 1032 bytes of one (RFC 1951: a length of 258 in two bits)."""
    return 1032 * len(body) + 1024


def read_json_form(body: bytes, share: MemoryShare) -> Form:
    from entrypoints.forms.json_body import estimate_json_bytes, read_json

    share.grow_to(estimate_json_bytes(body), "the JSON")
    document = read_json(body)
    if not isinstance(document, dict):
        raise ValueError("the JSON should be an object of fields")
    return Form({name: value for name, value in document.items() if value is not None}, is_json=True)


def read_pairs(kind: str, content_type: str, body: bytes, share: MemoryShare) -> Iterable[tuple[str, object]]:
    if kind == MULTIPART:
        from entrypoints.forms.multipart import read_parts

        share.grow_to(2 * len(body), "the body with its parts")
        return read_parts(content_type, body)
    from entrypoints.forms.urlencoded import MAX_BYTES, read_pairs

    if len(body) > MAX_BYTES:
        raise HTTPException(reject_size(MAX_BYTES))
    share.grow_to(
        6 * len(body), "the form"
    )  # the body, its pairs, the decoded bytes, and text of four bytes a character
    return read_pairs(body)


def collect_parts(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    parts: dict[str, object] = {}
    for name, value in pairs:
        if name in parts:
            raise ValueError(f"the field {name[:60]!r} is given twice")
        parts[name] = value
    return parts


def reject_size(limit: int) -> Response:
    return error_response(413, f"The body is larger than {limit} bytes, the most that this model accepts.")
