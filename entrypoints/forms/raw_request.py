"""A request as its client sent it: the server process passes it on unread, and the model process reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.response import HTTPException, error_response

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"
MEDIA_TYPES = (MULTIPART, URLENCODED, JSON)
COMPRESSIONS = ("gzip", "x-gzip", "deflate")


class RawRequest(NamedTuple):
    """``content_type`` with its parameters. ``encoding``: the Content-Encoding, empty for none. ``body``: as it came.
    ``context``: what every line of the log about it has (``entrypoints.processes.log.request_context``). ``of_vertex``: it came
    to Vertex AI's path in JSON, so that it may be a list of instances (``entrypoints.model.instances``)."""

    content_type: str
    encoding: str
    body: bytes
    context: Mapping[str, str] = {}
    of_vertex: bool = False


def check_headers(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """The content type and encoding of a form, so that others are refused before their body is read.

    Raises HTTPException (415).
    """
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    kind = find_media_type(content_type)
    if kind not in MEDIA_TYPES:
        given = kind[:100] or "not given"
        raise HTTPException(error_response(415, f"The content type is {given}; send {', '.join(MEDIA_TYPES)}."))
    return content_type, find_encoding(headers)


def find_encoding(headers: Mapping[bytes, bytes]) -> str:
    """The Content-Encoding, empty for none. Raises HTTPException (415) for one that is not read."""
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    encoding = "" if encoding == "identity" else encoding
    if encoding and encoding not in COMPRESSIONS:
        message = f"The content encoding is {encoding[:100]}; send gzip, deflate or none."
        raise HTTPException(error_response(415, message))
    return encoding


def find_media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
