"""Layers on their way, shown on stderr: one line that is drawn over on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

from prebake.checkpoints.progress import Bar, Lines, Progress, Tally
from prebake.colour import is_terminal
from prebake.oci.content import Content
from prebake.sizes import show_bytes

Chunk = TypeVar("Chunk", bytes, memoryview, bytes | memoryview)


class _Layers(Tally):
    """Counts layers. A transfer shorter than one interval shows nothing, and the end is the caller's to sum up."""

    what = ""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._drawn = clock()

    def _figures(self) -> str:
        done, total = sum(self._done.values()), sum(self._totals.values())
        finished = sum(self._done.get(name) == size for name, size in self._totals.items())
        layers = f"{finished}/{max(len(self._totals), len(self._done))} layers"
        return f"{self.what}: {layers}, {show_bytes(done)} of {show_bytes(total)}{self._pace()}{self._left()}"

    def close(self) -> None: ...


class LayerLines(_Layers, Lines):
    """Plain lines: for logs."""


class LayerBar(_Layers, Bar):
    """One line that is drawn over: for a terminal. It is gone at the end."""

    def close(self) -> None:
        with self._lock:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def showing(what: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """The progress of ``what`` (push, pull, verify) while the block lasts, in the form that fits the stream (stderr)."""
    target = stream or sys.stderr
    progress: _Layers = LayerBar(target) if is_terminal(target) else LayerLines(target)
    progress.what = what
    try:
        yield progress
    finally:
        progress.close()


def watched_chunks(
    chunks: Iterable[Chunk], name: str, size: int | None, report: Callable[[str, int, int | None], None]
) -> Iterator[Chunk]:
    """``chunks``, reported as they are taken."""
    position = 0
    for chunk in chunks:
        yield chunk
        position += len(chunk)
        report(name, position, size)


@dataclass(frozen=True)
class WatchedContent:
    """A content whose bytes are reported as they are read."""

    content: Content
    name: str
    progress: Progress

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        return watched_chunks(self.content.chunks(offset), self.name, self.size, self.progress.report)
