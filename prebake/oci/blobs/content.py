"""The bytes of blobs: read as often as needed, from any offset on, and never held in memory as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prebake.errors import PrebakeError

BLOCK_BYTES = 1 << 20
"""Bytes of a chunk: large enough to keep Python's overhead small, and small enough for the processor's cache."""


class FileChanged(PrebakeError):
    """A file was changed or removed after its layer was planned, or while it was read. Nothing of it is kept."""

    exit_code = 36


class Content(Protocol):
    """``size`` in bytes. A chunk is valid until the next one is read."""

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        """The bytes from ``offset`` to the end. Raises FileChanged if a file has another size now, or is gone."""


@dataclass(frozen=True)
class BytesContent:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for start in range(offset, len(view), BLOCK_BYTES):
            yield view[start : start + BLOCK_BYTES]


@dataclass(frozen=True)
class FileContent:
    """A whole file, with the size that it had when the content was made."""

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> FileContent:
        return cls(path, path.stat().st_size)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the file. Raises FileChanged, before or after the block, if the file was changed."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _changed(self.path, error.strerror or str(error)) from error
        try:
            before = os.fstat(descriptor)
            if before.st_size != self.size:
                raise _changed(self.path, f"it now has {before.st_size} bytes; it had {self.size}")
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
class FileSlice:
    """``size`` bytes of a file from ``start`` on."""

    path: Path
    start: int
    size: int

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        with self.path.open("rb", buffering=0) as file:
            yield from _read(file.fileno(), self.path, self.start + offset, self.start + self.size)


@dataclass(frozen=True)
class JoinedContent:
    """Contents in sequence."""

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
    buffer = memoryview(bytearray(min(BLOCK_BYTES, max(size - offset, 1))))
    while offset < size:
        read = os.preadv(descriptor, [buffer[: size - offset]], offset)
        if read == 0:
            raise _changed(path, f"it now ends after {offset} bytes; it had {size}")
        yield buffer[:read]
        offset += read


def _changed(path: Path, reason: str) -> FileChanged:
    return FileChanged(
        f"{path} was changed: {reason}.",
        next_action="build again, and do not let other programs write into the store during the build",
    )
