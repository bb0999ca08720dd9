"""HTTP responses as values: every process makes them, the server process sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple


class Response(NamedTuple):
    """``headers`` besides content-type and content-length. ``exhausted``: of a 503, that the same request may succeed once others
    are answered. gRPC has a status of its own for that."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = {}
    exhausted: bool = False


class HTTPException(Exception):
    """The request ends with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    # Half of a surrogate pair, which a form may quote, is written as JSON's own escape.
    body = json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"
    return Response(status, body, headers={"cache-control": "no-store", **(headers or {})})


def error_response(
    status: int, message: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """``{"error": {"message": …, "fields": {name: what is wrong}}}``."""
    return json_response(status, {"error": {"message": message, "fields": dict(fields or {})}}, headers)


def exhausted_response(message: str, retry_seconds: int) -> Response:
    """Others take the place or the memory that the request needs (503)."""
    response = error_response(503, message, headers={"retry-after": str(retry_seconds)})
    return response._replace(exhausted=True)
