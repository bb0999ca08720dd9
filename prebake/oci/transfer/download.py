"""The download of one blob, which continues after a broken connection (distribution specification, "Pulling blobs")."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import httpx

from prebake.errors import ChecksumMismatch
from prebake.io.retry import TransientError
from prebake.oci.blobs.blobs import Blob, Descriptor
from prebake.oci.errors import unreachable, unusable
from prebake.oci.http.auth import Scopes
from prebake.oci.http.connection import Connection, Request
from prebake.oci.http.responses import read_response, require_status

_MAX_ERROR_BYTES = 1 << 20


class Blobs(Protocol):
    """Where blobs can be read: a Repository."""

    def open_blob(self, digest: str, size: int, offset: int = 0) -> Iterator[memoryview]: ...


class RemoteContent:
    """A Content whose bytes lie in a registry."""

    def __init__(self, blobs: Blobs, descriptor: Descriptor) -> None:
        self._blobs = blobs
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        return self._descriptor.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        return self._blobs.open_blob(self._descriptor.digest, self._descriptor.size, offset)


def remote_blob(blobs: Blobs, descriptor: Descriptor) -> Blob:
    """A blob that is read from its registry when it is needed."""
    return Blob(descriptor, RemoteContent(blobs, descriptor))


class Download:
    """``size`` in bytes: more bytes are refused; missing bytes are requested again."""

    def __init__(self, connection: Connection, url: str, scopes: Scopes, digest: str, size: int) -> None:
        self._connection = connection
        self._url = url
        self._scopes = scopes
        self._digest = digest
        self._size = size

    def chunks(self, offset: int) -> Iterator[memoryview]:
        position = offset
        state = self._connection.retry_state()
        computed = hashlib.sha256()
        while position < self._size:
            start = position
            try:
                for chunk in self._attempt(start):
                    computed.update(chunk)
                    position += len(chunk)
                    yield chunk
            except TransientError as again:
                state.wait_after(again, progress=position > start)
        if offset == 0 and f"sha256:{computed.hexdigest()}" != self._digest:
            raise self._mismatch(f"its bytes are sha256:{computed.hexdigest()}")

    def _attempt(self, start: int) -> Iterator[memoryview]:
        """The bytes from ``start`` to the end. Raises TransientError if the connection ends before."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        request = Request("GET", self._url, self._scopes, (200, 206), headers)
        host = self._connection.host
        position = start
        with self._connection.stream(request) as response:
            if response.status_code not in request.allowed:
                require_status(read_response(response, _MAX_ERROR_BYTES, host), request.allowed, host)
            surplus = self._count_surplus(response, start)
            for data in response.iter_raw():
                chunk = memoryview(data)[surplus:]
                surplus -= len(data) - len(chunk)
                position += len(chunk)
                if position > self._size:
                    raise self._mismatch(f"there are more than {self._size} bytes")
                if chunk:
                    yield chunk
        if position < self._size:
            raise TransientError(f"the connection ended after {position} of {self._size} bytes", to_error=unreachable)

    def _count_surplus(self, response: httpx.Response, start: int) -> int:
        """The number of bytes of the response that come before ``start``: a 200 sends the whole blob again."""
        if response.status_code == 200:
            return start
        if response.headers.get("Content-Range", "").partition("-")[0] != f"bytes {start}":
            raise unusable(self._connection.host, "it continued a blob with another range than was requested")
        return 0

    def _mismatch(self, reason: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"{self._connection.host}: the blob {self._digest} does not match its digest: {reason}.",
            next_action="run it again; if it fails again, check whether a proxy changes bytes in transit",
        )
