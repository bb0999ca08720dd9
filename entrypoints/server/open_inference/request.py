"""A request of the protocol, as its handlers get it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from entrypoints.open_inference.routes import Route
from entrypoints.server.response_writer import Receive, ResponseWriter


class Request(NamedTuple):
    """``state`` is the scope's. The access log shows its ``model``. ``protobuf``: the body is a message of gRPC."""

    route: Route
    headers: Mapping[bytes, bytes]
    receive: Receive
    writer: ResponseWriter
    state: dict[str, Any]
    protobuf: bool = False


def read_header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """Empty without this header."""
    return headers.get(name, b"").decode("latin-1")
