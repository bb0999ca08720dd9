"""One repository of a registry: its blobs and manifests (distribution specification)."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from prebake.errors import ChecksumMismatch, PrebakeError
from prebake.io.log import Log, silent
from prebake.io.retry import RetryPolicy, TransientError
from prebake.oci.blobs.blobs import INDEX, MANIFEST, Blob, Descriptor, sha256_digest
from prebake.oci.errors import RegistryDenied, RegistryError, unusable
from prebake.oci.http.auth import Scopes
from prebake.oci.http.connection import Connection, Request
from prebake.oci.http.responses import SUCCESS, RegistryResponse, require_status
from prebake.oci.reference import Reference
from prebake.oci.transfer.download import Download
from prebake.oci.transfer.upload import Upload, ignore_progress
from prebake.oci.transfer.upload_options import HostLimits, host_limits, read_setting
from prebake.oci.transfer.upload_session import UploadTarget

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPT = {"Accept": ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))}
_MAX_MANIFEST_BYTES = 4 << 20  # the size that the specification has every registry accept ("Pushing Manifests")
_DIGEST_HEADER = "Docker-Content-Digest"
_HEAD_STATUSES = (*SUCCESS, 404, 405, 501)
"""Statuses for HEAD. If a server does not know the method, the object counts as missing."""


@dataclass(frozen=True)
class PushedBlob:
    """A blob or manifest after a push: how it got to the registry, and the bytes that were sent, repeated ones included."""

    digest: str
    how: Literal["present", "mounted", "sent"]
    bytes: int = 0


class Repository:
    """Threads may share it. Every method may raise RegistryUnreachable, RegistryDenied or RegistryError."""

    def __init__(
        self,
        reference: Reference,
        *,
        retry_policy: RetryPolicy | None = None,
        log: Log = silent,
        environ: Mapping[str, str] = os.environ,
        pushing: bool = False,
        limits: HostLimits | None = None,
    ) -> None:
        """With ``pushing``, reads ask for the right to push, too: Docker Hub and others deny reading a repository that does not
        exist yet. ``limits`` are the host's, by default those that this process knows.

        Raises UploadSettingInvalid.
        """
        self.reference = reference
        self._connection = Connection(reference, retry_policy or RetryPolicy(), log, environ)
        self._limits = limits or host_limits(reference.host)
        self._setting = read_setting(environ)
        self._push: Scopes = (f"repository:{reference.path}:pull,push",)
        self._pull: Scopes = self._push if pushing else (f"repository:{reference.path}:pull",)

    def close(self) -> None:
        self._connection.close()

    @property
    def retry_policy(self) -> RetryPolicy:
        return self._connection.retry_policy

    def with_retry_policy(self, retry_policy: RetryPolicy) -> Repository:
        """The same repository and connection with another policy."""
        other = copy.copy(self)
        other._connection = self._connection.with_retry_policy(retry_policy)
        return other

    def with_log(self, log: Log) -> Repository:
        """The same repository and connection, which reports repeated attempts to ``log``."""
        other = copy.copy(self)
        other._connection = self._connection.with_log(log)
        return other

    def log(self, line: str) -> None:
        self._connection.log(f"{self.reference.name}: {line}")

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        return self._has(digest, self._pull)

    def size_of(self, digest: str) -> int | None:
        """A blob's bytes by the registry's Content-Length; None if it has no such blob, or does not send one."""
        response = self._head(digest, self._pull)
        length = response.headers.get("Content-Length", "")
        return int(length) if response.status in SUCCESS and length.isdigit() else None

    def mount(self, digest: str, from_repository: str) -> bool:
        """Mount a blob of another repository of the same registry. False if the registry does not."""
        scopes = (f"repository:{from_repository}:pull", *self._push)
        url = self._url(f"blobs/uploads/?mount={digest}&from={from_repository}")
        try:
            response = self._connection.send(Request("POST", url, tuple(sorted(scopes)), SUCCESS))
        except (RegistryDenied, RegistryError):
            return False
        if response.status == 201:
            return True
        if response.status == 202:
            self._cancel_upload(response)
            return False
        return self._has(digest, self._push)

    def push(
        self, blob: Blob, *, mount_from: Sequence[str] = (), on_progress: Callable[[int], None] = ignore_progress
    ) -> PushedBlob:
        """Push a blob; one that the repository has is not opened. ``on_progress`` is called with the bytes that were sent.

        Raises ChecksumMismatch if the content does not match the digest, FileChanged, DigestDisputed, or RegistryError if the
        blob has no content and the registry neither has nor mounts it.
        """
        if self._has(blob.digest, self._push):
            return PushedBlob(blob.digest, "present")
        others = [name for name in mount_from if name != self.reference.path]
        if any(self.mount(blob.digest, name) for name in others):
            return PushedBlob(blob.digest, "mounted")
        if blob.content is None:
            raise unusable(
                self.reference.host, f"{self.reference.path} lacks {blob.digest}, and this machine has no copy of it"
            )
        target = UploadTarget(
            connection=self._connection,
            path=self.reference.path,
            scopes=self._push,
            limits=self._limits,
            setting=self._setting,
        )
        upload = Upload(target, blob, blob.content, on_progress)
        upload.run()
        return PushedBlob(blob.digest, "sent", upload.sent)

    def resolve(self, target: str) -> str | None:
        """The digest of the manifest with a tag or digest; None if there is none, or the registry does not send it."""
        request = Request("HEAD", self._url(f"manifests/{target}"), self._pull, _HEAD_STATUSES, _ACCEPT)
        response = self._connection.send(request)
        return response.headers.get(_DIGEST_HEADER) if response.status in SUCCESS else None

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes] | None:
        """The manifest or index with a tag or digest, as it was pushed; None if there is none.

        Raises ChecksumMismatch if the bytes do not match the digest.
        """
        url = self._url(f"manifests/{target}")
        request = Request("GET", url, self._pull, (200, 404), _ACCEPT, limit=_MAX_MANIFEST_BYTES)
        response = self._connection.send(request)
        if response.status == 404:
            return None
        computed = sha256_digest(response.body)
        expected = target if target.startswith("sha256:") else response.headers.get(_DIGEST_HEADER, computed)
        if expected.startswith("sha256:") and expected != computed:
            raise ChecksumMismatch(
                f"{self.reference.name}: the manifest {target} has the digest {computed}, not {expected}.",
                next_action="run it again; if it fails again, check whether a proxy changes bytes in transit",
            )
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return Descriptor(media_type, computed, len(response.body)), response.body

    def put_manifest(self, target: str, media_type: str, data: bytes, *, wait_for_blobs: bool = False) -> str:
        """Push a manifest under a tag or its own digest, and return the digest. ``wait_for_blobs`` repeats the request if the
        registry misses blobs: its replicas may see a blob a moment after it was pushed."""
        self.store_manifest(target, media_type, data, wait_for_blobs=wait_for_blobs)
        return sha256_digest(data)

    def open_blob(self, digest: str, size: int, offset: int = 0) -> Iterator[memoryview]:
        """A blob's bytes from ``offset`` on; a broken connection is continued. A chunk is valid until the next one is read.

        Raises ChecksumMismatch at the end if ``offset`` is 0 and the bytes do not match the digest.
        """
        url = self._url(f"blobs/{digest}")
        return Download(self._connection, url, self._pull, digest, size).chunks(offset)

    def store_manifest(
        self, target: str, media_type: str, data: bytes, *, wait_for_blobs: bool = False
    ) -> RegistryResponse:
        """``put_manifest``, and return the registry's response."""
        headers = {"Content-Type": media_type}
        allowed = (*SUCCESS, 400, 404) if wait_for_blobs else SUCCESS
        request = Request("PUT", self._url(f"manifests/{target}"), self._push, allowed, headers, data)
        response = self._connection.send(request, self._require_blobs)
        stored, expected = response.headers.get(_DIGEST_HEADER, ""), sha256_digest(data)
        if stored.startswith("sha256:") and stored != expected:
            raise unusable(self.reference.host, f"it stored the manifest {expected} as {stored}")
        return response

    def read(self, path: str, allowed: tuple[int, ...], limit: int) -> RegistryResponse:
        """GET of another path below the repository, or of a whole URL."""
        url = path if "://" in path else self._url(path)
        return self._connection.send(Request("GET", url, self._pull, allowed, limit=limit))

    def _require_blobs(self, response: RegistryResponse) -> None:
        if "MANIFEST_BLOB_UNKNOWN" in response.codes or "BLOB_UNKNOWN" in response.codes:
            raise TransientError(response.reason, to_error=unusable)
        require_status(response, SUCCESS, self.reference.host)

    def _has(self, digest: str, scopes: Scopes) -> bool:
        return self._head(digest, scopes).status in SUCCESS

    def _head(self, digest: str, scopes: Scopes) -> RegistryResponse:
        return self._connection.send(Request("HEAD", self._url(f"blobs/{digest}"), scopes, _HEAD_STATUSES))

    def _cancel_upload(self, response: RegistryResponse) -> None:
        """Cancel the upload that a registry opens if it does not mount."""
        with suppress(TransientError, PrebakeError):
            url = self._connection.location_of(response)
            self._connection.send_once(Request("DELETE", url, self._push, (*SUCCESS, 404)))

    def _url(self, path: str) -> str:
        return f"/v2/{self.reference.path}/{path}"
