"""Messages between the two processes of the server: pickled values over a socket pair."""

from __future__ import annotations

import contextlib
import pickle
import queue
import socket
import sys
import threading
from importlib import import_module
from typing import Any

LARGE = 64 * 1024
"""Bytes from which on a body is pickled by the thread that sends it: copying it would hold up its caller."""


class Channel:
    """One end. Both ends belong to this program, from one fork: the messages are trusted.

    A message is an event, which is a named tuple, and the number of the inference that it is about, or None if it is about
    the start. A pickle says itself where it ends, so that messages need no length before them.

    A process uses one of the two ways to send, not both: `send` waits until the other process reads, `post` never waits.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb")
        self._lock = threading.Lock()
        self._unsent = 0
        """Messages that are in the outbox, or that its thread is sending."""
        self._outbox: queue.SimpleQueue[tuple[int | None, Any] | memoryview] | None = None

    def send(self, number: int | None, event: Any) -> None:
        """From any thread. If the other process has ended the message is lost: the reader of this end notices that."""
        message = dump(number, event)
        try:
            with self._lock:
                self._end.sendall(message)
        except OSError:
            return

    def post(self, number: int | None, event: Any, size: int = 0) -> None:
        """From an event loop: a message that the socket does not take at once is sent by a thread. ``size``: about how many bytes
        the event has, if it may have many. Raises RuntimeError if that thread cannot be started."""
        with self._lock:  # never held while anything waits
            if self._unsent or size >= LARGE:
                self._put((number, event))
                return
            message = dump(number, event)
            try:
                sent = self._end.send(message, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:
                return
            if sent < len(message):
                self._put(memoryview(message)[sent:])

    def receive(self) -> tuple[int | None, Any]:
        """The next message; in one thread. Raises EOFError if the other process has ended."""
        try:
            number, module, name, fields = pickle.load(self._reader)  # noqa: S301 - from our own fork
        except (OSError, pickle.UnpicklingError):  # it ended in the middle of a message
            raise EOFError from None
        return number, getattr(sys.modules.get(module) or import_module(module), name)(*fields)

    def close(self) -> None:
        """From any thread: both processes find the channel at its end."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _put(self, entry: tuple[int | None, Any] | memoryview) -> None:
        if self._outbox is None:  # most containers never need the thread
            outbox: queue.SimpleQueue[tuple[int | None, Any] | memoryview] = queue.SimpleQueue()
            threading.Thread(target=self._send_outbox, args=(outbox,), name="send", daemon=True).start()
            self._outbox = outbox
        self._unsent += 1
        self._outbox.put(entry)

    def _send_outbox(self, outbox: queue.SimpleQueue[tuple[int | None, Any] | memoryview]) -> None:
        while True:
            entry = outbox.get()
            try:
                self._end.sendall(entry if isinstance(entry, memoryview) else dump(*entry))
            except OSError:
                return  # the other process has ended
            del entry  # it may be large, and the next one may come much later
            with self._lock:
                self._unsent -= 1


def dump(number: int | None, event: Any) -> bytes:
    """The fields and the class's name: pickle takes 4 µs more for a named tuple."""
    kind = type(event)
    return pickle.dumps((number, kind.__module__, kind.__name__, tuple(event)), pickle.HIGHEST_PROTOCOL)
