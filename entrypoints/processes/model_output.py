"""What a model process prints, as events of the log.

File descriptors 1 and 2 of a model process are a pipe (`entrypoints.processes.log.send_output_to`): native code, libraries and
child processes print to it. The server process reads it in its event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

from entrypoints.processes.log import before_end, repeats, write_event

READ_BYTES = 65_536
MAX_TEXT_BYTES = 4000
"""Longer lines are cut."""
MAX_LINES = 1000
"""In ``REPEAT_SECONDS``: enough for the stacks of all threads."""
LAST_LINES = 20
"""They are written although there were too many before: a process that crashes says why in its last lines."""


class ModelOutput:
    """Reads one pipe. The model process waits only while the pipe is full (64 KiB) and the event loop is busy."""

    def __init__(self, pipe: int, model: str, watch: Callable[[str], None]) -> None:
        """``model`` is empty if the image has one; ``watch`` is called with each line that is written."""
        self._pipe: int | None = pipe
        self._details = {"model": model} if model else {}
        self._watch = watch
        self._rest = b""
        self._unwritten: deque[bytes] = deque(maxlen=LAST_LINES)
        os.set_blocking(pipe, False)
        before_end.append(self.read_rest)

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what the pipe holds, and then what comes."""
        pipe = self._pipe
        self._read_all()
        if self._pipe is not None:
            loop.add_reader(self._pipe, self._read_once, loop)
        elif pipe is not None:
            os.close(pipe)

    def read_rest(self) -> None:
        """At the end of the server process."""
        self._read_all()
        self._end()

    def _read_all(self) -> None:
        """A model that prints on is not waited for: about what a pipe holds is read."""
        for _ in range(READ_BYTES // 4096 + 1):
            if self._pipe is None or not self._read():
                return

    def _read_once(self, loop: asyncio.AbstractEventLoop) -> None:
        pipe = self._pipe
        if pipe is not None and not self._read() and self._pipe is None:
            loop.remove_reader(pipe)
            os.close(pipe)

    def _read(self) -> bool:
        """False if there is nothing to read; the pipe is None if nothing will come any more."""
        assert self._pipe is not None  # noqa: S101
        try:
            chunk = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._end()
            self._pipe = None
            before_end.remove(self.read_rest)  # models may be loaded and unloaded a thousand times
            return False
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._write(lines)
        self._rest = rest if len(rest) <= MAX_TEXT_BYTES else strip(rest)[:MAX_TEXT_BYTES]
        return True

    def _write(self, lines: list[bytes]) -> None:
        lines = [line for line in map(strip, lines) if line]
        taken = repeats.take(("output", self._details.get("model")), "output", len(lines), MAX_LINES) if lines else 0
        if taken:
            self._unwritten.clear()
        for line in lines[:taken]:
            self._write_one(line)
        self._unwritten.extend(line[:MAX_TEXT_BYTES] for line in lines[taken:][-LAST_LINES:])

    def _write_one(self, line: bytes) -> None:
        text = line[:MAX_TEXT_BYTES].decode(errors="replace")
        write_event("output", "info", {**self._details, "text": text})
        self._watch(text)

    def _end(self) -> None:
        for line in (*self._unwritten, strip(self._rest)):
            if line:
                self._write_one(line)
        self._unwritten.clear()
        self._rest = b""


def strip(line: bytes) -> bytes:
    """As a terminal would show it at last: a progress bar writes over itself after each carriage return."""
    return line.rstrip(b"\r ").rpartition(b"\r")[2]
