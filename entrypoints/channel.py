"""Messages between the two processes of the server: pickled tuples over a socket pair, each behind its length."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

_LENGTH = struct.Struct("<Q")


class Channel:
    """One end. Both ends are this program's own, from one fork: what arrives is trusted."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def send(self, kind: str, *parts: object) -> None:
        """From any thread. A message to an end that is gone is lost: its reader finds that out, and says so."""
        body = pickle.dumps((kind, *parts), pickle.HIGHEST_PROTOCOL)
        try:
            with self._lock:
                self._end.sendall(_LENGTH.pack(len(body)))
                self._end.sendall(body)
        except OSError:
            return

    def receive(self) -> tuple[Any, ...]:
        """The next message. Raises EOFError where the other end is gone."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        message: tuple[Any, ...] = pickle.loads(self._read(length))  # noqa: S301 - from our own fork
        return message

    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view, at = memoryview(data), 0
        while at < length:
            try:
                count = self._end.recv_into(view[at:])
            except OSError:
                count = 0
            if not count:
                raise EOFError
            at += count
        return bytes(data)
