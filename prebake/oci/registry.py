"""One repository of a registry: its blobs and manifests (distribution specification)."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from prebake.errors import ChecksumMismatch, PrebakeError
from prebake.oci.answers import SUCCESS, Answer, require
from prebake.oci.auth import Scopes
from prebake.oci.blobs import INDEX, MANIFEST, Blob, Descriptor, sha256_digest
from prebake.oci.connection import Ask, Connection
from prebake.oci.download import Download
from prebake.oci.errors import RegistryDenied, RegistryError, unusable
from prebake.oci.habits import Habits, habits_of, read_setting
from prebake.oci.reference import Reference
from prebake.oci.session import Way
from prebake.oci.upload import Upload, unwatched
from prebake.patience import Passing, Patience
from prebake.process import Narrator, silent

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPT = {"Accept": ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))}
_MANIFEST_LIMIT = 4 << 20  # bytes: what the specification has every registry take ("Pushing Manifests")
_DIGEST_HEADER = "Docker-Content-Digest"
_LOOKED_FOR = (*SUCCESS, 404, 405, 501)
"""Answers to HEAD; a server that does not know the method is taken for one that does not have the thing."""


@dataclass(frozen=True)
class Sent:
    """How a blob or manifest came to be at the registry, and the bytes that left for it, repeated ones included."""

    digest: str
    how: Literal["present", "mounted", "sent"]
    bytes: int = 0


class Repository:
    """Threads may share it. Every method may raise RegistryUnreachable, RegistryDenied or RegistryError."""

    def __init__(
        self,
        reference: Reference,
        *,
        patience: Patience | None = None,
        say: Narrator = silent,
        environ: Mapping[str, str] = os.environ,
        pushing: bool = False,
        habits: Habits | None = None,
    ) -> None:
        """``pushing``: it is read with the right to push, too. Docker Hub and others deny pulling from a repository that
        does not exist yet. ``habits``: those of the host, by default what this process knows of it.

        Raises UploadSettingInvalid.
        """
        self.reference = reference
        self._connection = Connection(reference, patience or Patience(), say, environ)
        self._habits = habits or habits_of(reference.host)
        self._setting = read_setting(environ)
        self._push: Scopes = (f"repository:{reference.path}:pull,push",)
        self._pull: Scopes = self._push if pushing else (f"repository:{reference.path}:pull",)

    def close(self) -> None:
        self._connection.close()

    @property
    def patience(self) -> Patience:
        return self._connection.patience

    def patient(self, patience: Patience) -> Repository:
        """The same repository and connection with another patience."""
        other = copy.copy(self)
        other._connection = self._connection.patient(patience)
        return other

    def telling(self, say: Narrator) -> Repository:
        """The same repository and connection, which tells ``say`` of what is tried again."""
        other = copy.copy(self)
        other._connection = self._connection.telling(say)
        return other

    def say(self, line: str) -> None:
        self._connection.say(f"{self.reference.name}: {line}")

    def has(self, digest: str) -> bool:
        return self._has(digest, self._pull)

    def size_of(self, digest: str) -> int | None:
        """Bytes of a blob as the registry tells them; None where it has none, or does not tell."""
        answer = self._head(digest, self._pull)
        length = answer.headers.get("Content-Length", "")
        return int(length) if answer.status in SUCCESS and length.isdigit() else None

    def mount(self, digest: str, from_repository: str) -> bool:
        """Take a blob over from another repository of the same registry. False where the registry will not."""
        origin = (f"repository:{from_repository}:pull", *self._push)
        url = self._url(f"blobs/uploads/?mount={digest}&from={from_repository}")
        try:
            answer = self._connection.answer(Ask("POST", url, tuple(sorted(origin)), SUCCESS))
        except (RegistryDenied, RegistryError):
            return False
        if answer.status == 201:
            return True
        if answer.status == 202:
            self._abandon(answer)
            return False
        return self._has(digest, self._push)

    def push(self, blob: Blob, *, mount_from: Sequence[str] = (), passed: Callable[[int], None] = unwatched) -> Sent:
        """A blob that is there is not opened. ``passed`` is called with the bytes of it that are on their way.

        Raises ChecksumMismatch where its content is not its digest's, FileChanged, DigestDisputed, or RegistryError
        where it has no content and is neither there nor mountable.
        """
        if self._has(blob.digest, self._push):
            return Sent(blob.digest, "present")
        others = [name for name in mount_from if name != self.reference.path]
        if any(self.mount(blob.digest, name) for name in others):
            return Sent(blob.digest, "mounted")
        if blob.content is None:
            raise unusable(self.reference.host, f"{self.reference.path} lacks {blob.digest}, whose bytes are not here")
        way = Way(self._connection, self.reference.path, self._push, self._habits, self._setting)
        upload = Upload(way, blob, blob.content, passed)
        upload.run()
        return Sent(blob.digest, "sent", upload.sent)

    def resolve(self, target: str) -> str | None:
        """The digest of the manifest that a tag or digest names; None where there is none, or it is not told."""
        ask = Ask("HEAD", self._url(f"manifests/{target}"), self._pull, _LOOKED_FOR, _ACCEPT)
        answer = self._connection.answer(ask)
        return answer.headers.get(_DIGEST_HEADER) if answer.status in SUCCESS else None

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes] | None:
        """The manifest or index of a tag or digest, as it was pushed; None where there is none.

        Raises ChecksumMismatch where the bytes are not those of the digest.
        """
        ask = Ask("GET", self._url(f"manifests/{target}"), self._pull, (200, 404), _ACCEPT, limit=_MANIFEST_LIMIT)
        answer = self._connection.answer(ask)
        if answer.status == 404:
            return None
        found = sha256_digest(answer.body)
        claimed = target if target.startswith("sha256:") else answer.headers.get(_DIGEST_HEADER, found)
        if claimed.startswith("sha256:") and claimed != found:
            raise ChecksumMismatch(
                f"{self.reference.name}: the manifest {target} has the digest {found}, not {claimed}.",
                next_action="run it again; if it stays so, look for what changes bytes on their way (a proxy)",
            )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Descriptor(media_type, found, len(answer.body)), answer.body

    def put_manifest(self, target: str, media_type: str, data: bytes, *, wait_for_blobs: bool = False) -> str:
        """Under a tag or its own digest. Returns the digest. ``wait_for_blobs``: they were pushed just now, and replicas of
        a registry may see them a moment later."""
        self.store_manifest(target, media_type, data, wait_for_blobs=wait_for_blobs)
        return sha256_digest(data)

    def open_blob(self, digest: str, size: int, offset: int = 0) -> Iterator[memoryview]:
        """A blob's bytes from ``offset`` on, gone on with after a cut. A chunk is valid until the next.

        Raises ChecksumMismatch, at the end, where they are not those of the digest, and ``offset`` is 0.
        """
        url = self._url(f"blobs/{digest}")
        return Download(self._connection, url, self._pull, digest, size).chunks(offset)

    def store_manifest(self, target: str, media_type: str, data: bytes, *, wait_for_blobs: bool = False) -> Answer:
        """``put_manifest``, with what the registry answers."""
        headers = {"Content-Type": media_type}
        allowed = (*SUCCESS, 400, 404) if wait_for_blobs else SUCCESS
        ask = Ask("PUT", self._url(f"manifests/{target}"), self._push, allowed, headers, data)
        answer = self._connection.answer(ask, self._expect_blobs)
        found, expected = answer.headers.get(_DIGEST_HEADER, ""), sha256_digest(data)
        if found.startswith("sha256:") and found != expected:
            raise unusable(self.reference.host, f"it stored the manifest {expected} as {found}")
        return answer

    def read(self, rest: str, allowed: tuple[int, ...], limit: int) -> Answer:
        """GET of something else below the repository, or of a whole URL."""
        url = rest if "://" in rest else self._url(rest)
        return self._connection.answer(Ask("GET", url, self._pull, allowed, limit=limit))

    def _expect_blobs(self, answer: Answer) -> None:
        if "MANIFEST_BLOB_UNKNOWN" in answer.codes or "BLOB_UNKNOWN" in answer.codes:
            raise Passing(answer.reason, becomes=unusable)
        require(answer, SUCCESS, self.reference.host)

    def _has(self, digest: str, scopes: Scopes) -> bool:
        return self._head(digest, scopes).status in SUCCESS

    def _head(self, digest: str, scopes: Scopes) -> Answer:
        return self._connection.answer(Ask("HEAD", self._url(f"blobs/{digest}"), scopes, _LOOKED_FOR))

    def _abandon(self, answer: Answer) -> None:
        """Close the upload that a registry opens where it does not mount."""
        with suppress(Passing, PrebakeError):
            self._connection.once(Ask("DELETE", self._connection.place(answer), self._push, (*SUCCESS, 404)))

    def _url(self, rest: str) -> str:
        return f"/v2/{self.reference.path}/{rest}"
