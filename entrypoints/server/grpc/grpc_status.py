"""Responses as gRPC ends a call: a status, its text, and trailing metadata. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

from entrypoints.open_inference.grpc.wire import write_head, write_tag, write_varint
from entrypoints.response import Response

STATUSES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""gRPC's status by that of HTTP. Any other status from 400 to 499 becomes INVALID_ARGUMENT: the same request cannot succeed."""
RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
CODES = {"RESOURCE_EXHAUSTED": 8, "UNAVAILABLE": 14}
"""The numbers of statuses that come with a time to wait."""
MAX_TEXT_BYTES = 3000
"""Clients accept 8 KiB of metadata, where the text may be percent-encoded and is a second time in the details."""
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


class CallEnd(NamedTuple):
    """``status``: the name of gRPC's status. ``metadata``: what trails."""

    status: str
    text: str
    metadata: tuple[tuple[str, str | bytes], ...]


def end_call(response: Response, request_id: str) -> CallEnd:
    identity = ("x-request-id", request_id)
    if response.status == 200:
        return CallEnd("OK", "", (identity,))
    status = RESOURCE_EXHAUSTED if response.exhausted else STATUSES.get(response.status, "INVALID_ARGUMENT")
    text = cut(read_text(response))
    if status not in CODES:
        return CallEnd(status, text, (identity,))
    seconds = int(response.headers.get("retry-after", "1"))
    details = encode_retry(CODES[status], text, seconds)
    return CallEnd(status, text, (identity, ("retry-after", str(seconds)), ("grpc-status-details-bin", details)))


def read_text(response: Response) -> str:
    """The message of an error's JSON, and of each field what is wrong with it unless the message says it."""
    try:
        error = json.loads(response.body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"The request failed with status {response.status}."
    if isinstance(error, str):
        return error
    message = str(error["message"])
    wrong = [f"{name}: {problem}" for name, problem in error["fields"].items() if problem not in message]
    return " ".join((message, *wrong))


def cut(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_TEXT_BYTES:
        return encoded.decode()
    return f"{encoded[:MAX_TEXT_BYTES].decode(errors='ignore')}…"


def encode_retry(code: int, text: str, seconds: int) -> bytes:
    """``google.rpc.Status`` with a ``RetryInfo`` (google/rpc/status.proto, google/rpc/error_details.proto)."""
    delay = write_tag(1, 0) + write_varint(seconds)
    info = nest(1, delay)
    packed = nest(1, RETRY_INFO.encode()) + nest(2, info)
    return write_tag(1, 0) + write_varint(code) + nest(2, text.encode()) + nest(3, packed)


def nest(number: int, content: bytes) -> bytes:
    return write_head(number, len(content)) + content
