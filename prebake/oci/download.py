"""One blob from a registry, gone on with where a connection was cut (distribution specification, "Pulling blobs")."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import httpx

from prebake.errors import ChecksumMismatch
from prebake.oci.answers import read_answer, require
from prebake.oci.auth import Scopes
from prebake.oci.blobs import Blob, Descriptor
from prebake.oci.connection import Ask, Connection
from prebake.oci.errors import unreachable, unusable
from prebake.patience import Passing

_LIMIT = 1 << 20


class Blobs(Protocol):
    """Where blobs can be read: a Repository."""

    def open_blob(self, digest: str, size: int, offset: int = 0) -> Iterator[memoryview]: ...


class RemoteContent:
    """A blob that another registry holds, as a Content."""

    def __init__(self, blobs: Blobs, descriptor: Descriptor) -> None:
        self._blobs = blobs
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        return self._descriptor.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        return self._blobs.open_blob(self._descriptor.digest, self._descriptor.size, offset)


def remote_blob(blobs: Blobs, descriptor: Descriptor) -> Blob:
    return Blob(descriptor, RemoteContent(blobs, descriptor))


class Download:
    """``size`` in bytes: more is refused, less is asked for again."""

    def __init__(self, connection: Connection, url: str, scopes: Scopes, digest: str, size: int) -> None:
        self._connection = connection
        self._url = url
        self._scopes = scopes
        self._digest = digest
        self._size = size

    def chunks(self, offset: int) -> Iterator[memoryview]:
        position = offset
        tries = self._connection.tries()
        computed = hashlib.sha256()
        while position < self._size:
            start = position
            try:
                for chunk in self._attempt(start):
                    computed.update(chunk)
                    position += len(chunk)
                    yield chunk
            except Passing as again:
                tries.wait_after(again, progress=position > start)
        if offset == 0 and f"sha256:{computed.hexdigest()}" != self._digest:
            raise self._mismatch(f"its bytes are sha256:{computed.hexdigest()}")

    def _attempt(self, start: int) -> Iterator[memoryview]:
        """From ``start`` to the end, or a Passing."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        ask = Ask("GET", self._url, self._scopes, (200, 206), headers)
        position = start
        with self._connection.stream(ask) as response:
            if response.status_code not in ask.allowed:
                require(read_answer(response, _LIMIT, self._connection.host), ask.allowed, self._connection.host)
            surplus = self._surplus(response, start)
            for data in response.iter_raw():
                chunk = memoryview(data)[surplus:]
                surplus -= len(data) - len(chunk)
                position += len(chunk)
                if position > self._size:
                    raise self._mismatch(f"there are more than {self._size} bytes")
                if chunk:
                    yield chunk
        if position < self._size:
            raise Passing(f"the connection ended after {position} of {self._size} bytes", becomes=unreachable)

    def _surplus(self, response: httpx.Response, start: int) -> int:
        """Bytes before ``start`` that come all the same: a 200 is the whole blob again."""
        if response.status_code == 200:
            return start
        if response.headers.get("Content-Range", "").partition("-")[0] != f"bytes {start}":
            raise unusable(self._connection.host, "it went on with other bytes of a blob than were asked for")
        return 0

    def _mismatch(self, how: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"{self._connection.host}: the blob {self._digest} is not what its digest says: {how}.",
            next_action="run it again; if it stays so, look for what changes bytes on their way (a proxy)",
        )
