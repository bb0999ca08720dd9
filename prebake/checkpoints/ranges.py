"""Parts of a file read at the same time and handed on in order: what is written is always the beginning of the file."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

_LOOK = 0.1  # seconds between two looks at how far the parts are


@dataclass(frozen=True)
class Ranges:
    """``width`` parts of ``piece`` bytes at a time, which a download holds in memory, if at least ``least`` bytes are to come.

    One connection seldom gets all that a network carries: stores such as S3 bound each
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html).
    """

    width: int = 4
    piece: int = 8 << 20
    least: int = 32 << 20

    def pay(self, left: int) -> bool:
        """Whether ``left`` bytes are worth more than one connection."""
        return self.width > 1 and left >= self.least


SEVERAL = Ranges()
"""What downloads do if nobody says otherwise."""


@dataclass
class Part:
    """The bytes from ``start`` to ``end``, as far as they have come in ``data``. Whoever reads them looks at ``stopped``."""

    start: int
    end: int
    data: bytearray = field(default_factory=bytearray)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def missing(self) -> int:
        return self.end - self.start - len(self.data)


Read = Callable[[Part], None]
"""Fills a part's ``data`` as bytes come; what it raises is raised to whoever takes the part, after its bytes."""


class Readahead:
    """Reads the parts from ``start`` to ``end``, some at a time. At the end of the block reading stops."""

    def __init__(self, read: Read, ranges: Ranges, start: int, end: int) -> None:
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
        """The parts' bytes in order. ``report`` is told, while a part is waited for, how many bytes are there that were not taken
        yet; what it raises is passed on. An error in reading a part is raised after the part's bytes."""
        while self._reading:
            first = self._reading[0]
            while not first.done.wait(_LOOK):
                report(sum(len(each.part.data) for each in self._reading))
            self._reading.popleft()
            yield bytes(first.part.data)
            if first.error is not None:
                raise first.error
            self._begin()

    def _begin(self) -> None:
        if self._next < self._end:
            part = Part(self._next, min(self._next + self._ranges.piece, self._end))
            self._next = part.end
            self._reading.append(_Reading(part, self._read))


class _Reading:
    """A part that a thread of its own reads; a daemon, as one that hangs must not keep a stopped program alive."""

    def __init__(self, part: Part, read: Read) -> None:
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
