"""An inference request as its client sent it. The server process passes it on unread; the model process reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class RawInfer(NamedTuple):
    """``name`` and ``component``: of the model (``OfferedModel``). ``encoding``: the Content-Encoding. ``header_length``: the
    Inference-Header-Content-Length. ``accept_encoding``: the Accept-Encoding. Each is empty without its header.
    ``context``: as in ``RawRequest``. ``protobuf``: the body is a ``ModelInferRequest`` of gRPC, and so is the answer a
    ``ModelInferResponse``."""

    name: str
    component: str
    body: bytes
    encoding: str = ""
    header_length: str = ""
    accept_encoding: str = ""
    context: Mapping[str, str] = {}
    protobuf: bool = False
