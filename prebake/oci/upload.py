"""One blob to a registry, hashed while it is sent (distribution specification, "Pushing a blob in chunks")."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import quote

from prebake.errors import ChecksumMismatch, PrebakeError
from prebake.oci.answers import Answer
from prebake.oci.auth import Scopes
from prebake.oci.blobs import Blob
from prebake.oci.connection import Ask, Connection
from prebake.oci.content import Content
from prebake.oci.errors import DigestDisputed, unusable
from prebake.patience import Passing, persist

PIECE = 128 << 20
"""Bytes of a PATCH: what a cut may cost where the registry does not keep the part of one that arrived."""

_FAREWELL = 2.0  # seconds that a registry gets to forget an upload
_LOST = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}
_OCTETS = "application/octet-stream"


class Upload:
    """``run`` does it. ``sent`` counts the bytes that left, those sent again included."""

    def __init__(
        self, connection: Connection, path: str, blob: Blob, content: Content, scopes: Scopes, piece: int = PIECE
    ) -> None:
        self._connection = connection
        self._start = f"/v2/{path}/blobs/uploads/"
        self._there = f"/v2/{path}/blobs/{blob.digest}"
        self._blob = blob
        self._content = content
        self._scopes = scopes
        self._piece = piece
        self.sent = 0
        self._begin_anew()

    def run(self) -> None:
        """Raises ChecksumMismatch, FileChanged, DigestDisputed, or what the connection does; nothing of the upload is
        left then, as far as the registry can still be told."""
        if self._content.size != self._blob.size:
            raise self._mismatch(f"{self._content.size} bytes, where {self._blob.size} are described")
        try:
            if not self._accepted():
                self._cancel()
                self._begin_anew()
                if not self._accepted():
                    raise DigestDisputed(
                        f"{self._connection.host} says, twice, that what it received is not {self._blob.digest}.",
                        next_action="look for what changes bytes on their way (a proxy), or for the registry's disk",
                    )
        except BaseException:
            self._cancel()
            raise

    def _begin_anew(self) -> None:
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._forget()

    def _forget(self) -> None:
        """The next attempt opens another upload; what is hashed stays hashed."""
        self._place = ""
        self._least = 0
        self._offset = 0  # bytes that the registry has
        self._unsure = False  # whether ``_offset`` is to be asked for
        self._finishing = False

    def _accepted(self) -> bool:
        """False where the registry disputes the digest."""
        best = 0

        def attempt() -> bool:
            nonlocal best
            try:
                return self._attempt()
            finally:
                best = max(best, self._offset)

        return persist(attempt, self._connection.tries(), done=lambda: best)

    def _attempt(self) -> bool:
        if self._finishing and self._is_there():
            return True
        if self._place and self._unsure:
            self._ask_offset()
        if not self._place:
            self._open()
        self._send_rest()
        self._expect_digest()
        return self._finish()

    def _is_there(self) -> bool:
        """The answer to the last request may be all that was lost."""
        return self._connection.once(Ask("HEAD", self._there, self._scopes, (200, 404))).status == 200

    def _open(self) -> None:
        answer = self._connection.once(Ask("POST", self._start, self._scopes, (202,)))
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self._forget()
        self._least = int(least) if least.isdigit() else 0
        self._place = self._connection.place(answer)

    def _ask_offset(self) -> None:
        answer = self._connection.once(Ask("GET", self._place, self._scopes, (200, 204, 400, 404, 416)))
        offset = _kept(answer)
        if answer.status >= 400 or offset is None or offset > self._hashed:
            self._forget()
        else:
            self._go_on(answer, offset)

    def _go_on(self, answer: Answer, offset: int) -> None:
        if "Location" in answer.headers:
            self._place = self._connection.place(answer)
        self._offset = offset
        self._unsure = False

    def _send_rest(self) -> None:
        with closing(_Reader(self._content, self._offset)) as reader:
            while self._offset < self._blob.size:
                self._send_piece(reader, min(max(self._piece, self._least), self._blob.size - self._offset))
            if reader.read(1):  # to its end, where a file tells whether it changed meanwhile
                raise self._mismatch(f"it goes on after {self._blob.size} bytes")

    def _send_piece(self, reader: _Reader, count: int) -> None:
        start, end = self._offset, self._offset + count
        headers = {
            "Content-Type": _OCTETS,
            "Content-Length": str(count),
            "Content-Range": f"{start}-{end - 1}",
        }
        body = self._hashing(reader, start, end)
        self._unsure = True
        answer = self._connection.once(
            Ask("PATCH", self._place, self._scopes, (202, 204, 400, 404, 416), headers, body)
        )
        if answer.status >= 400:
            self._meet_refusal(answer)
        kept = _kept(answer, default=end)
        if kept != end:
            raise Passing(f"the registry kept {kept} of {end} bytes", becomes=unusable)
        self._go_on(answer, end)

    def _hashing(self, reader: _Reader, start: int, end: int) -> Iterator[memoryview]:
        position = start
        while position < end:
            chunk = reader.read(end - position)
            if not chunk:
                raise self._mismatch(f"it ends after {position} of {self._blob.size} bytes")
            if position + len(chunk) > self._hashed:
                self._hash.update(chunk[max(0, self._hashed - position) :])
                self._hashed = position + len(chunk)
            self.sent += len(chunk)
            position += len(chunk)
            yield chunk

    def _expect_digest(self) -> None:
        computed = f"sha256:{self._hash.hexdigest()}"
        if computed != self._blob.digest:
            raise self._mismatch(f"its bytes are {computed}")

    def _finish(self) -> bool:
        self._finishing = self._unsure = True
        place = f"{self._place}{'&' if '?' in self._place else '?'}digest={quote(self._blob.digest, safe='')}"
        wait = self._connection.patience.finish
        answer = self._connection.once(Ask("PUT", place, self._scopes, (201, 204, 400, 404, 416), wait=wait))
        if "DIGEST_INVALID" in answer.codes:
            return False
        if answer.status >= 400:
            self._meet_refusal(answer)
        return True

    def _meet_refusal(self, answer: Answer) -> None:
        """An upload that the registry does not know, or not as we do, is passing; every other refusal stays."""
        if answer.status == 404 or answer.codes & _LOST:
            self._forget()
        elif answer.status != 416:
            raise unusable(self._connection.host, answer.reason)
        raise Passing(answer.reason, becomes=unusable)

    def _cancel(self) -> None:
        if self._place:
            with suppress(PrebakeError, Passing):
                wait = min(_FAREWELL, self._connection.patience.read)
                self._connection.once(Ask("DELETE", self._place, self._scopes, (202, 204, 404), wait=wait))

    def _mismatch(self, how: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"The content of {self._blob.digest} is not what its digest says: {how}.",
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

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def _kept(answer: Answer, default: int | None = None) -> int | None:
    """How many bytes the registry says it has. ``0-0`` tells nothing: some say it for no byte as for one."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", ""))
    return int(found[1]) + 1 if found and int(found[1]) else default
