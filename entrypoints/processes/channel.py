"""Messages between the two processes of the server: pickled values over a socket pair."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
from importlib import import_module
from typing import Any


class Channel:
    """One end. Both ends belong to this program, from one fork: the messages are trusted.

    A message is an event, which is a named tuple, and the number of the inference that it is about, or None if it is about
    the start. A pickle says itself where it ends, so that messages need no length before them.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb")
        self._lock = threading.Lock()

    def send(self, number: int | None, event: Any) -> None:
        """From any thread. If the other process has ended the message is lost: the reader of this end notices that."""
        kind = type(event)
        # The fields and the class's name: pickle takes 4 µs more for a named tuple.
        message = pickle.dumps((number, kind.__module__, kind.__name__, tuple(event)), pickle.HIGHEST_PROTOCOL)
        try:
            with self._lock:
                self._end.sendall(message)
        except OSError:
            return

    def receive(self) -> tuple[int | None, Any]:
        """The next message; in one thread. Raises EOFError if the other process has ended."""
        try:
            number, module, name, fields = pickle.load(self._reader)  # noqa: S301 - from our own fork
        except (OSError, pickle.UnpicklingError):  # it ended in the middle of a message
            raise EOFError from None
        return number, getattr(sys.modules.get(module) or import_module(module), name)(*fields)
