"""A blob's bytes on their way into a request: counted and hashed, and never ended if they are not the digest's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs import Blob
from prebake.oci.content import Content


class Body:
    """The content of one blob, read as often as an upload needs. ``sent`` counts the bytes that left, those sent again
    included; ``passed`` is called with the position up to which the blob is on its way."""

    def __init__(self, blob: Blob, content: Content, passed: Callable[[int], None]) -> None:
        """Raises ChecksumMismatch where the content has another size than the blob."""
        self.size = blob.size
        self._digest = blob.digest
        self._content = content
        self._passed = passed
        self.sent = 0
        self.at = 0
        self.begin_anew()
        if content.size != blob.size:
            raise self._mismatch(f"{content.size} bytes, where {blob.size} are described")

    def begin_anew(self) -> None:
        """Hash from the first byte on."""
        self._hash = hashlib.sha256()
        self.hashed = 0

    def part(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from ``start`` to ``end`` (exclusive). Parts may overlap, and may leave nothing out. A chunk is valid
        until the next one is asked for.

        Raises ChecksumMismatch or FileChanged before the blob's last chunk is given, so that a wrong blob is never whole.
        """
        with closing(_Reader(self._content, start)) as reader:
            position = start
            while position < end:
                chunk = reader.read(end - position)
                if not chunk:
                    raise self._mismatch(f"it ends after {position} of {self.size} bytes")
                self._digest_of(chunk, position)
                position += len(chunk)
                if position == self.size:
                    self._expect_digest(reader)
                self.sent += len(chunk)
                self.at = position
                self._passed(position)
                yield chunk
            if self.size == 0:
                self._expect_digest(reader)

    def _digest_of(self, chunk: memoryview, position: int) -> None:
        """Bytes that were hashed when they were sent before are left out."""
        if position + len(chunk) > self.hashed:
            self._hash.update(chunk[max(0, self.hashed - position) :])
            self.hashed = position + len(chunk)

    def _expect_digest(self, reader: _Reader) -> None:
        """The content is read to its end: there a file says whether it changed meanwhile."""
        if reader.has_more():
            raise self._mismatch(f"it goes on after {self.size} bytes")
        computed = f"sha256:{self._hash.hexdigest()}"
        if computed != self._digest:
            raise self._mismatch(f"its bytes are {computed}")

    def _mismatch(self, how: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"The content of {self._digest} is not what its digest says: {how}.",
            next_action="build again; leave the store to Prebake meanwhile",
        )


class _Reader:
    """A content in parts of any length. A part is valid until the next is asked for."""

    def __init__(self, content: Content, offset: int) -> None:
        self._chunks = content.chunks(offset)
        self._rest = memoryview(b"")

    def read(self, limit: int) -> memoryview:
        """At most ``limit`` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, memoryview(b""))
        part, self._rest = self._rest[:limit], self._rest[limit:]
        return part

    def has_more(self) -> bool:
        """The part that was read last stays valid where there is nothing more."""
        return bool(self._rest) or next(self._chunks, None) is not None

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
