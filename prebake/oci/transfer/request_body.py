"""A blob's bytes as they go into requests: counted and hashed. If they do not match the digest, the last request never ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.blobs import Blob
from prebake.oci.blobs.content import Content


class Body:
    """The content of one blob, read as often as an upload needs.

    ``sent`` counts the bytes that left, repeated ones included; ``position`` is the end of the last chunk; ``hashed`` counts the
    bytes that the digest covers so far. ``on_progress`` is called with each position.
    """

    def __init__(self, blob: Blob, content: Content, on_progress: Callable[[int], None]) -> None:
        """Raises ChecksumMismatch if the content has another size than the blob."""
        self.size = blob.size
        self._digest = blob.digest
        self._content = content
        self._on_progress = on_progress
        self.sent = 0
        self.position = 0
        self.restart()
        if content.size != blob.size:
            raise self._mismatch(f"it has {content.size} bytes instead of {blob.size}")

    def restart(self) -> None:
        """Hash from the first byte on."""
        self._hash = hashlib.sha256()
        self.hashed = 0

    def read(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from ``start`` to ``end`` (exclusive). Ranges may overlap, but leave no gap. A chunk is valid until the next
        one is read.

        Raises ChecksumMismatch or FileChanged before the blob's last chunk is given, so that a wrong blob is never complete.
        """
        with closing(_Reader(self._content, start)) as reader:
            position = start
            while position < end:
                chunk = reader.read(end - position)
                if not chunk:
                    raise self._mismatch(f"it ends after {position} of {self.size} bytes")
                self._update_digest(chunk, position)
                position += len(chunk)
                if position == self.size:
                    self._expect_digest(reader)
                self.sent += len(chunk)
                self.position = position
                self._on_progress(position)
                yield chunk
            if self.size == 0:
                self._expect_digest(reader)

    def _update_digest(self, chunk: memoryview, position: int) -> None:
        """Bytes that were hashed when they were first sent are skipped."""
        if position + len(chunk) > self.hashed:
            self._hash.update(chunk[max(0, self.hashed - position) :])
            self.hashed = position + len(chunk)

    def _expect_digest(self, reader: _Reader) -> None:
        """Read the content to its end: there a file checks whether it was changed meanwhile."""
        if reader.has_more():
            raise self._mismatch(f"it continues after {self.size} bytes")
        computed = f"sha256:{self._hash.hexdigest()}"
        if computed != self._digest:
            raise self._mismatch(f"its bytes are {computed}")

    def _mismatch(self, reason: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"The content of {self._digest} does not match its digest: {reason}.",
            next_action="build again, and do not let other programs write into the store during the build",
        )


class _Reader:
    """A content in chunks of at most a given length. A chunk is valid until the next is read."""

    def __init__(self, content: Content, offset: int) -> None:
        self._chunks = content.chunks(offset)
        self._rest = memoryview(b"")

    def read(self, limit: int) -> memoryview:
        """At most ``limit`` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, memoryview(b""))
        chunk, self._rest = self._rest[:limit], self._rest[limit:]
        return chunk

    def has_more(self) -> bool:
        """The chunk that was read last stays valid if there is nothing more."""
        return bool(self._rest) or next(self._chunks, None) is not None

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
