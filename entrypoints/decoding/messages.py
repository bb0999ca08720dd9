"""What the three processes of a decoding send one another, over sockets that keep the bounds of messages (SOCK_SEQPACKET).

The model process sends the template a `Limits`, with the end of a new socket pair and a file of memory that holds the call. The
template forks a worker, which answers over the new pair.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.decoding.values import Buffer

STARTED, VALUE, DONE, REFUSED, CANCELLED, FAILED, NO_MEMORY, ENDED, NOT_STARTED = (
    *("started", "value", "done", "refused", "cancelled"),
    *("failed", "no memory", "ended", "not started"),
)
"""Kinds of messages to the model process. The template sends NOT_STARTED and ENDED, the worker the others."""
LARGEST = 64 << 10
"""Bytes of a message."""
WINDOW = 2
"""Values that a worker sends ahead of what the model process has taken."""
LONGEST_TEXT = 8_000
"""Characters of a text in a message."""
_LIMITS = struct.Struct("<dQ?")


class Limits(NamedTuple):
    seconds: float
    memory: int
    """Bytes that a worker may use beyond what the template uses."""
    trusted: bool = False
    """Whether the file is the image's own: the template itself runs the call then. That takes no fork, and fills the caches that
    workers share from then on."""

    def pack(self) -> bytes:
        return _LIMITS.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> Limits:
        return cls(*_LIMITS.unpack(message))


class Message(NamedTuple):
    kind: str
    details: Mapping[str, object]
    file: int | None
    """The descriptor of a file of memory, which the receiver closes."""


def send(end: socket.socket, kind: str, file: int | None = None, **details: object) -> None:
    """Long texts are cut off."""
    short = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in details.items()}
    body = json.dumps({"kind": kind, **short}).encode()
    socket.send_fds(end, [body], [] if file is None else [file])


def receive(end: socket.socket) -> Message:
    """Raises EOFError if the other side has ended, ValueError if it sent what is not a message."""
    try:
        try:
            body, files, _, _ = socket.recv_fds(end, LARGEST, 1)
        except ConnectionResetError:  # the other side ended before it read everything: its own messages are there still
            body, files, _, _ = socket.recv_fds(end, LARGEST, 1)
    except OSError:
        raise EOFError from None
    if not body:
        raise EOFError
    file = files[0] if files else None
    try:
        details = json.loads(body)
        kind = str(details.pop("kind"))
        if (kind == VALUE) != (file is not None):
            raise ValueError("a value has a file, and no other message has one")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        if file is not None:
            os.close(file)
        raise ValueError(f"not a message: {error}") from None
    return Message(kind, details, file)


def write_file(parts: Sequence[Buffer]) -> int:
    """A file of memory with ``parts``, its descriptor at the file's start."""
    file = os.memfd_create("prebake", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(file, rest) :]
        os.lseek(file, 0, os.SEEK_SET)
    except BaseException:
        os.close(file)
        raise
    return file
