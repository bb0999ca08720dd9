"""An upload session at a registry: opened, sent bytes, ended with the digest or cancelled (distribution specification,
"Pushing blobs")."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from prebake.errors import PrebakeError
from prebake.oci.answers import SUCCESS, Answer
from prebake.oci.auth import Scopes
from prebake.oci.blobs import Blob
from prebake.oci.body import Body
from prebake.oci.connection import Ask, Connection
from prebake.oci.content import Content
from prebake.oci.errors import unusable
from prebake.oci.habits import Habits, UploadSetting
from prebake.patience import Passing

_REFUSALS = (400, 404, 405, 409, 410, 411, 413, 415, 416, 422, 501)
"""Answers to bytes of a blob that are looked at here; all other ones end the upload, or may pass."""

_FAREWELL = 2.0  # seconds that a registry gets to forget an upload
_LOST = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}
_OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Way:
    """Where uploads go, and how. ``path`` is the repository's; ``habits`` are the host's, and learn from its answers."""

    connection: Connection
    path: str
    scopes: Scopes
    habits: Habits
    setting: UploadSetting


class Adapted(Exception):
    """The host refused a form of upload. Its habits know that now: the next attempt takes another form."""


class Session:
    """One blob's upload. ``place`` is empty while none is open; ``least`` is the registry's OCI-Chunk-Min-Length."""

    def __init__(self, way: Way, blob: Blob, content: Content, passed: Callable[[int], None]) -> None:
        self.way = way
        self.blob = blob
        self.body = Body(blob, content, passed)
        self.place = ""
        self.least = 0
        self._put = False

    def open(self) -> None:
        """Open a new one; one that is open is cancelled."""
        self.cancel()
        answer = self._once(Ask("POST", f"/v2/{self.way.path}/blobs/uploads/", self.way.scopes, SUCCESS))
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self.least = int(least) if least.isdigit() else 0
        self.place = self.way.connection.place(answer)

    def cancel(self) -> None:
        """As far as the registry can be asked to forget it."""
        place, self.place = self.place, ""
        if place:
            with suppress(PrebakeError, Passing):
                wait = min(_FAREWELL, self.way.connection.patience.read)
                self._once(Ask("DELETE", place, self.way.scopes, (*SUCCESS, 404), wait=wait))

    def may_be_whole(self) -> bool:
        """Whether the registry has the blob although its last answer was lost."""
        return self._put and self.body.at == self.blob.size and self.is_there()

    def is_there(self) -> bool:
        there = f"/v2/{self.way.path}/blobs/{self.blob.digest}"
        return self._once(Ask("HEAD", there, self.way.scopes, (*SUCCESS, 404, 405, 501))).status in SUCCESS

    def send(self, method: str, start: int, end: int, place: str, headers: dict[str, str]) -> Answer:
        """The blob's bytes from ``start`` to ``end`` (exclusive). Every 2xx and every refusal is an answer."""
        given = {"Content-Type": _OCTETS, "Content-Length": str(end - start), **headers}
        body = (lambda: self.body.part(start, end)) if end > start or not self.blob.size else b""
        wait = self.way.connection.patience.finish if method == "PUT" else None
        return self._once(Ask(method, place, self.way.scopes, (*SUCCESS, *_REFUSALS), given, body, wait=wait))

    def finish(self, start: int) -> bool:
        """The bytes from ``start`` on and the digest, in one PUT. False where the registry disputes the digest.

        Raises Adapted, Passing, and RegistryError for a refusal that stays.
        """
        self._put = True
        digest = quote(self.blob.digest, safe="")
        place = f"{self.place}{'&' if '?' in self.place else '?'}digest={digest}"
        answer = self.send("PUT", start, self.blob.size, place, {})
        if answer.status in SUCCESS:
            self.place = ""
            found = str(answer.headers.get("Docker-Content-Digest", ""))
            return found == self.blob.digest or not found.startswith("sha256:")
        if "DIGEST_INVALID" in answer.codes:
            return False
        self.meet_limit(answer, self.blob.size - start)
        self.meet_loss(answer)
        if not self.is_there():  # another push may have been faster
            raise unusable(self.way.connection.host, answer.reason)
        return True

    def meet_limit(self, answer: Answer, size: int) -> None:
        """Raises Adapted after a 413, or RegistryError where nothing smaller is left, or is not wanted."""
        if answer.status == 413:
            if self.way.setting.fixed:
                raise unusable(self.way.connection.host, f"{answer.reason}; PREBAKE_UPLOAD=whole allows no pieces")
            self.way.habits.refuse_body(size, answer.reason)
            raise Adapted

    def meet_loss(self, answer: Answer) -> None:
        """Raises Passing where the registry does not know the upload any more: it has to be begun again."""
        if answer.status in (404, 410) or answer.codes & _LOST:
            self.place = ""
            raise Passing(answer.reason, becomes=unusable)

    def _once(self, ask: Ask) -> Answer:
        return self.way.connection.once(ask)
