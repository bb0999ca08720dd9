"""Bytes that can be had again and from any offset on, without ever being held: what blobs are made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prebake.errors import PrebakeError

BLOCK = 1 << 20
"""Bytes of a chunk: large enough that Python's part in moving it is small, small enough to stay in the cache."""


class FileChanged(PrebakeError):
    """A file is no longer what it was when its layer was planned."""

    exit_code = 36


class Content(Protocol):
    """``size`` in bytes. A chunk is valid until the next one is asked for."""

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        """From ``offset`` to the end. Raises FileChanged where a file has another size by now, or is gone."""


@dataclass(frozen=True)
class Data:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for start in range(offset, len(view), BLOCK):
            yield view[start : start + BLOCK]


@dataclass(frozen=True)
class FileContent:
    """A whole file, of this size when it was looked at."""

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> FileContent:
        return cls(path, path.stat().st_size)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of it. Raises FileChanged at either end of the block, where it is not what it was."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _changed(self.path, error.strerror or str(error)) from error
        try:
            before = os.fstat(descriptor)
            if before.st_size != self.size:
                raise _changed(self.path, f"{before.st_size} bytes now, {self.size} before")
            yield descriptor
            after = os.fstat(descriptor)
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise _changed(self.path, "it was written to while it was read")
        finally:
            os.close(descriptor)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        with self.opened() as descriptor:
            yield from _read(descriptor, self.path, offset, self.size)


@dataclass(frozen=True)
class FilePart:
    """``size`` bytes of a file from ``start`` on."""

    path: Path
    start: int
    size: int

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        with self.path.open("rb", buffering=0) as file:
            yield from _read(file.fileno(), self.path, self.start + offset, self.start + self.size)


@dataclass(frozen=True)
class Joined:
    """Contents one after the other."""

    parts: Sequence[Content]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        for part in self.parts:
            if offset < part.size:
                yield from part.chunks(offset)
                offset = 0
            else:
                offset -= part.size


def _read(descriptor: int, path: Path, offset: int, size: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(min(BLOCK, max(size - offset, 1))))
    while offset < size:
        read = os.preadv(descriptor, [buffer[: size - offset]], offset)
        if read == 0:
            raise _changed(path, f"it ends after {offset} bytes, {size} before")
        yield buffer[:read]
        offset += read


def _changed(path: Path, how: str) -> FileChanged:
    return FileChanged(f"{path} changed: {how}.", next_action="build again; leave the store to Prebake meanwhile")
