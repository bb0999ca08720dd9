"""One hostile request as a value: the bytes that a client sends, and whether the server has to answer them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class HostileRequest:
    """``pieces`` are sent one after the other, ``pause`` seconds apart. ``answered``: the server has all that it waits for, and
    has to answer. Otherwise the client closes the connection after a moment. ``method`` decides whether the answer has a body."""

    kind: str
    pieces: tuple[bytes, ...]
    answered: bool = True
    pause: float = 0.0
    method: str = "POST"

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True)
class Target:
    """What a client can learn from a container: the fields of its form, and by model the inputs of the Open Inference Protocol
    (``name``, ``datatype`` and ``shape`` each)."""

    name: str
    fields: Sequence[str]
    models: Mapping[str, Sequence[Mapping[str, Any]]]


Make = Callable[[random.Random, Target], HostileRequest]


def encode(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request in one piece. Names of headers have ``_`` for ``-``. Content-Length is right unless it is given; ``""`` leaves it
    out."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body or method == "POST":
        given = {"Content-Length": str(len(body)), **given}
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {text}" for name, text in given.items() if text),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def post(kind: str, path: str, body: bytes, content_type: str = JSON, **headers: str) -> HostileRequest:
    """One that the server has to answer."""
    return HostileRequest(kind, (encode("POST", path, body, Content_Type=content_type, **headers),))


def cut_up(draw: random.Random, content: bytes, most: int = 3) -> tuple[bytes, ...]:
    """The content in up to ``most`` pieces."""
    cuts = sorted(draw.randrange(len(content) + 1) for _ in range(draw.randrange(most)))
    return tuple(content[start:end] for start, end in zip((0, *cuts), (*cuts, len(content)), strict=True))
