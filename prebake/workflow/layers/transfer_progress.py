"""Progress of layers in transfer, on stderr: one line that is redrawn on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

from prebake.checkpoints.progress import BarProgress, LineProgress, Progress, ProgressTotals
from prebake.io.byte_sizes import format_bytes
from prebake.io.terminal import is_terminal
from prebake.oci.blobs.content import Content

Chunk = TypeVar("Chunk", bytes, memoryview, bytes | memoryview)


class _Layers(ProgressTotals):
    """Counts layers. A transfer shorter than one interval shows nothing; the caller logs the end."""

    what = ""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._drawn = clock()

    def _figures(self) -> str:
        done, total = sum(self._done.values()), sum(self._totals.values())
        finished = sum(self._done.get(name) == size for name, size in self._totals.items())
        layers = f"{finished}/{max(len(self._totals), len(self._done))} layers"
        return f"{self.what}: {layers}, {format_bytes(done)} of {format_bytes(total)}{self._pace()}{self._left()}"

    def close(self) -> None: ...


class LayerLines(_Layers, LineProgress):
    """Plain lines: for logs."""


class LayerBar(_Layers, BarProgress):
    """One line that is redrawn: for a terminal. It is erased at the end."""

    def close(self) -> None:
        with self._lock:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def show_progress(what: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """Show the progress of ``what`` (push, pull, verify) while the block runs, in the form for the stream (default: stderr)."""
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
    """The chunks; each is reported when the consumer has taken it."""
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
