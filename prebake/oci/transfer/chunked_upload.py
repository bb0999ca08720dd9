"""The upload of a blob in chunks, by PATCH, which continues after a broken connection (distribution specification, "Pushing a
blob in chunks")."""

from __future__ import annotations

import re

from prebake.io.retry import TransientError
from prebake.oci.errors import unusable
from prebake.oci.http.connection import Request
from prebake.oci.http.responses import SUCCESS, RegistryResponse
from prebake.oci.transfer.upload_session import FormRefused, UploadSession


class ChunkedUpload:
    """``offset`` is the number of bytes that the registry has, by our own count. The ``Range`` of a 2xx is not read, since Amazon
    ECR's stays at the first chunk; the digest decides in the end."""

    def __init__(self, session: UploadSession, chunk_bytes: int) -> None:
        self._session = session
        self._chunk_bytes = chunk_bytes
        self._size = session.blob.size
        self._offset_unknown = False  # the registry has to be asked for the offset
        self._offset_corrected = False  # the offset was set anew after a 416
        self._lost_sessions = 0
        self.offset = 0

    def attempt(self) -> bool:
        """False if the registry disputes the digest. Raises FormRefused, TransientError, or RegistryError."""
        if self._session.location and self._offset_unknown:
            self._ask_offset()
        if not self._session.location:
            self._session.open()
            self.offset, self._offset_unknown = 0, False
        while self.offset < self._size:
            self._send(min(max(self._chunk_bytes, self._session.min_chunk_bytes), self._size - self.offset))
        self._offset_unknown = True
        return self._session.finish(self._size)

    def _send(self, count: int) -> None:
        start, end = self.offset, self.offset + count
        self._offset_unknown = True
        headers = {"Content-Range": f"{start}-{end - 1}"}
        response = self._session.send("PATCH", start, end, self._session.location, headers)
        if response.status not in SUCCESS:
            self._handle_refusal(response, count)
        self._offset_corrected = False
        self._continue_from(response, end)

    def _handle_refusal(self, response: RegistryResponse, count: int) -> None:
        minimum = self._session.min_chunk_bytes
        if response.status == 413 and count <= minimum:
            host = self._session.target.connection.host
            raise unusable(host, f"{response.reason}, though it asks for chunks of {minimum} bytes at least")
        self._session.handle_too_large(response, count)
        if response.status == 416:
            self._handle_range_refused(response, count)
        self._count_lost_session(response)
        self._session.handle_lost_session(response)
        self._refuse_chunks(response.reason)

    def _handle_range_refused(self, response: RegistryResponse, count: int) -> None:
        """Some registries answer 416 if the offset is another, from which the upload may continue; GHCR answers 416 to a chunk
        above 4 MiB. If the offset that the registry names is answered by 416 again, it is wrong: Amazon ECR's stays at the first
        chunk."""
        sent_from, corrected = self.offset, self._offset_corrected
        self._ask_offset()
        self._offset_corrected = True
        if self._session.location and self.offset != sent_from and not corrected:
            raise TransientError(response.reason, to_error=unusable)
        if count <= self._session.min_chunk_bytes:
            self._refuse_chunks(response.reason)
        self._session.target.limits.record_chunk_refused(count, response.reason)
        raise FormRefused

    def _count_lost_session(self, response: RegistryResponse) -> None:
        """A host that loses an upload twice takes no chunks: it has no PATCH, or replicas that do not share uploads."""
        target = self._session.target
        self._lost_sessions += response.status in (404, 410)
        if self._lost_sessions > 1 and not target.limits.requires_chunks(self._size, target.setting):
            self._refuse_chunks(response.reason)

    def _refuse_chunks(self, reason: str) -> None:
        self._session.target.limits.record_no_chunks(reason)
        raise FormRefused

    def _ask_offset(self) -> None:
        """Ask the registry how many bytes it has. If it does not answer that, or names more bytes than were hashed, the upload
        is cancelled and starts again."""
        target = self._session.target
        allowed = (*SUCCESS, 400, 404, 405, 410, 416, 501)
        response = target.connection.send_once(Request("GET", self._session.location, target.scopes, allowed))
        offset = _read_offset(response)
        if response.status not in SUCCESS or offset is None or offset > self._session.body.hashed:
            self._session.cancel()
        else:
            self._continue_from(response, offset)

    def _continue_from(self, response: RegistryResponse, offset: int) -> None:
        if "Location" in response.headers:
            self._session.location = self._session.target.connection.location_of(response)
        self.offset = offset
        self._offset_unknown = False


def _read_offset(response: RegistryResponse) -> int | None:
    """How many bytes the registry says that it has. ``0-0`` is ambiguous: some send it for no byte and for one."""
    match = re.fullmatch(r"(?:bytes=)?0-(\d+)", response.headers.get("Range", ""))
    return int(match[1]) + 1 if match and int(match[1]) else None
