"""An upload session at a registry: opened, sent bytes, ended with the digest or cancelled (distribution specification,
"Pushing blobs")."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from prebake.errors import PrebakeError
from prebake.io.retry import TransientError
from prebake.oci.blobs.blobs import Blob
from prebake.oci.blobs.content import Content
from prebake.oci.errors import unusable
from prebake.oci.http.auth import Scopes
from prebake.oci.http.connection import Connection, Request
from prebake.oci.http.responses import SUCCESS, RegistryResponse
from prebake.oci.transfer.request_body import Body
from prebake.oci.transfer.upload_options import HostLimits, UploadSetting

_REFUSALS = (400, 404, 405, 409, 410, 411, 413, 415, 416, 422, 501)
"""Statuses that an upload handles itself. All others end it, or are transient."""

_CANCEL_SECONDS = 2.0
_LOST_CODES = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}
_OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class UploadTarget:
    """The repository ``path`` that blobs are uploaded to, by the user's ``setting`` and within the host's ``limits``, which are
    adapted to its answers."""

    connection: Connection
    path: str
    scopes: Scopes
    limits: HostLimits
    setting: UploadSetting


class FormRefused(Exception):
    """The host refused a form of upload, and its limits are recorded: the next attempt takes another form."""


class UploadSession:
    """``location`` is the open session's URL, empty if there is none; ``min_chunk_bytes`` is the registry's
    OCI-Chunk-Min-Length."""

    def __init__(self, target: UploadTarget, blob: Blob, content: Content, on_progress: Callable[[int], None]) -> None:
        self.target = target
        self.blob = blob
        self.body = Body(blob, content, on_progress)
        self.location = ""
        self.min_chunk_bytes = 0
        self._put_sent = False

    def open(self) -> None:
        """Open a new session; one that is open is cancelled."""
        self.cancel()
        url = f"/v2/{self.target.path}/blobs/uploads/"
        response = self._send_once(Request("POST", url, self.target.scopes, SUCCESS))
        minimum = response.headers.get("OCI-Chunk-Min-Length", "")
        self.min_chunk_bytes = int(minimum) if minimum.isdigit() else 0
        self.location = self.target.connection.location_of(response)

    def cancel(self) -> None:
        """Ask the registry to forget the session. If it cannot be reached, the session is left to expire."""
        location, self.location = self.location, ""
        if location:
            with suppress(PrebakeError, TransientError):
                wait = min(_CANCEL_SECONDS, self.target.connection.retry_policy.read)
                self._send_once(Request("DELETE", location, self.target.scopes, (*SUCCESS, 404), wait=wait))

    def may_be_complete(self) -> bool:
        """Whether the registry has the blob although its last answer was lost."""
        return self._put_sent and self.body.position == self.blob.size and self.blob_exists()

    def blob_exists(self) -> bool:
        url = f"/v2/{self.target.path}/blobs/{self.blob.digest}"
        request = Request("HEAD", url, self.target.scopes, (*SUCCESS, 404, 405, 501))
        return self._send_once(request).status in SUCCESS

    def send(self, method: str, start: int, end: int, url: str, headers: dict[str, str]) -> RegistryResponse:
        """Send the blob's bytes from ``start`` to ``end`` (exclusive). Every 2xx and every refusal is returned."""
        all_headers = {"Content-Type": _OCTETS, "Content-Length": str(end - start), **headers}
        content = (lambda: self.body.read(start, end)) if end > start or not self.blob.size else b""
        wait = self.target.connection.retry_policy.finish if method == "PUT" else None
        allowed = (*SUCCESS, *_REFUSALS)
        return self._send_once(Request(method, url, self.target.scopes, allowed, all_headers, content, wait=wait))

    def finish(self, start: int) -> bool:
        """Send the bytes from ``start`` on and the digest in one PUT. False if the registry disputes the digest.

        Raises FormRefused, TransientError, and RegistryError for a refusal that lasts.
        """
        self._put_sent = True
        digest = quote(self.blob.digest, safe="")
        url = f"{self.location}{'&' if '?' in self.location else '?'}digest={digest}"
        response = self.send("PUT", start, self.blob.size, url, {})
        if response.status in SUCCESS:
            self.location = ""
            stored = str(response.headers.get("Docker-Content-Digest", ""))
            return stored == self.blob.digest or not stored.startswith("sha256:")
        if "DIGEST_INVALID" in response.codes:
            return False
        self.handle_too_large(response, self.blob.size - start)
        self.handle_lost_session(response)
        if not self.blob_exists():  # another push may have been faster
            raise unusable(self.target.connection.host, response.reason)
        return True

    def handle_too_large(self, response: RegistryResponse, size: int) -> None:
        """Raises FormRefused after a 413, or RegistryError if no smaller request is left or allowed."""
        if response.status == 413:
            if self.target.setting.whole_only:
                raise unusable(self.target.connection.host, f"{response.reason}; PREBAKE_UPLOAD=whole allows no chunks")
            self.target.limits.record_body_refused(size, response.reason)
            raise FormRefused

    def handle_lost_session(self, response: RegistryResponse) -> None:
        """Raises TransientError if the registry no longer knows the session: the upload has to start again."""
        if response.status in (404, 410) or response.codes & _LOST_CODES:
            self.location = ""
            raise TransientError(response.reason, to_error=unusable)

    def _send_once(self, request: Request) -> RegistryResponse:
        return self.target.connection.send_once(request)
