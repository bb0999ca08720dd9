"""Ranges of a file, downloaded at the same time and returned in order: the bytes on disk are always a prefix of the file."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

_REPORT_SECONDS = 0.1  # between two reports of the number of downloaded bytes


@dataclass(frozen=True)
class Ranges:
    """``width`` ranges of ``piece`` bytes at a time, held in memory, if at least ``least`` bytes of the file are missing.

    One connection seldom uses the whole bandwidth: stores such as S3 limit each
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html).
    """

    width: int = 4
    piece: int = 8 << 20
    least: int = 32 << 20

    def pay(self, left: int) -> bool:
        """Whether ``left`` bytes are enough for several connections to save time."""
        return self.width > 1 and left >= self.least


DEFAULT_RANGES = Ranges()
"""The default of downloads."""


@dataclass
class RangePart:
    """The bytes from ``start`` to ``end``; ``data`` has those that have arrived. Its reader stops when ``stopped`` is set."""

    start: int
    end: int
    data: bytearray = field(default_factory=bytearray)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def missing(self) -> int:
        return self.end - self.start - len(self.data)


RangeReader = Callable[[RangePart], None]
"""Fills ``data`` of a range as bytes arrive. Its exception is raised in the thread that takes the range, after the bytes."""


class Readahead:
    """Downloads the ranges from ``start`` to ``end``, some at a time. Reading stops at the end of the block."""

    def __init__(self, read: RangeReader, ranges: Ranges, start: int, end: int) -> None:
        self._read = read
        self._ranges = ranges
        self._next = start
        self._end = end
        self._reading: deque[_Reading] = deque()
        for _ in range(ranges.width):
            self._begin()

    def __enter__(self) -> Readahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading in self._reading:
            reading.part.stopped.set()

    def take(self, report: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes of the ranges in order. While this waits for a range, it calls ``report`` with the number of bytes that have
        arrived but were not taken. An exception of ``report`` is passed on; one of a reader is raised after the range's bytes."""
        while self._reading:
            first = self._reading[0]
            while not first.done.wait(_REPORT_SECONDS):
                report(sum(len(reading.part.data) for reading in self._reading))
            self._reading.popleft()
            yield bytes(first.part.data)
            if first.error is not None:
                raise first.error
            self._begin()

    def _begin(self) -> None:
        if self._next < self._end:
            part = RangePart(self._next, min(self._next + self._ranges.piece, self._end))
            self._next = part.end
            self._reading.append(_Reading(part, self._read))


class _Reading:
    """A range and the thread that reads it. The thread is a daemon: a hanging one must not keep a stopped program alive."""

    def __init__(self, part: RangePart, read: RangeReader) -> None:
        self.part = part
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._read = read
        threading.Thread(target=self._run, daemon=True, name="range").start()

    def _run(self) -> None:
        try:
            self._read(self.part)
        except BaseException as error:  # handed to the thread that takes the part
            self.error = error
        self.done.set()
