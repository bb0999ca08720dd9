"""The upload of one blob: a POST and one PUT of all its bytes, as containerd, BuildKit and oras send them (distribution
specification, "POST then PUT"). Chunks are sent only to a host that refuses a request of that size, or if the user sets them."""

from __future__ import annotations

from collections.abc import Callable

from prebake.io.retry import retry
from prebake.oci.blobs.blobs import Blob
from prebake.oci.blobs.content import Content
from prebake.oci.errors import DigestDisputed, RegistryUnreachable
from prebake.oci.transfer.chunked_upload import ChunkedUpload
from prebake.oci.transfer.upload_options import BODY_SIZES_BYTES, VARIABLE
from prebake.oci.transfer.upload_session import FormRefused, UploadSession, UploadTarget


def ignore_progress(_position: int) -> None:
    """For uploads whose progress is not shown."""


class Upload:
    """``run`` uploads the blob. ``sent`` counts the bytes that left this machine, repeated ones included."""

    def __init__(
        self, target: UploadTarget, blob: Blob, content: Content, on_progress: Callable[[int], None] = ignore_progress
    ) -> None:
        """``on_progress`` is called with the position up to which the blob was sent; it falls if the upload is restarted.

        Raises ChecksumMismatch if the content has another size than the blob.
        """
        self._target = target
        self._session = UploadSession(target, blob, content, on_progress)
        self._size = blob.size
        self._chunked: ChunkedUpload | None = None
        self._kept_bytes = 0

    @property
    def sent(self) -> int:
        return self._session.body.sent

    def run(self) -> None:
        """Raises ChecksumMismatch, FileChanged, DigestDisputed, or what the connection raises. The registry is then asked to
        forget the upload, if it can be reached."""
        try:
            if not self._accepted():
                self._restart_after_dispute()
                if not self._accepted():
                    raise DigestDisputed(
                        f"{self._target.connection.host} reported twice that the bytes it received do not have the digest"
                        f" {self._session.blob.digest}.",
                        next_action="check whether a proxy changes bytes in transit, or whether the registry's disk is faulty",
                    )
        except BaseException:
            self._session.cancel()
            raise

    def _accepted(self) -> bool:
        """False if the registry disputes the digest."""
        try:
            return retry(self._attempt, self._target.connection.retry_state(), done=lambda: self._kept_bytes)
        except RegistryUnreachable as error:
            if self._chunked is not None or self._size <= BODY_SIZES_BYTES[0]:
                raise
            hint = f"{error.next_action}; {VARIABLE}=16MiB sends chunks, which continue after a broken connection"
            raise RegistryUnreachable(error.message, next_action=hint) from error

    def _attempt(self) -> bool:
        """Try one form of upload after the other until the host takes one: a refused form is not a transient error."""
        if self._session.may_be_complete():
            return True
        while True:
            try:
                return self._send()
            except FormRefused:
                self._restart()

    def _send(self) -> bool:
        chunk = self._target.limits.choose_chunk_bytes(self._size, self._target.setting)
        if chunk is None:
            self._restart()
            self._session.open()
            return self._session.finish(0)
        if self._chunked is None:
            self._chunked = ChunkedUpload(self._session, chunk)
        try:
            return self._chunked.attempt()
        finally:  # chunks that the registry keeps are progress; of a whole blob it keeps nothing
            self._kept_bytes = max(self._kept_bytes, self._chunked.offset)

    def _restart(self) -> None:
        self._session.cancel()
        self._session.body.restart()
        self._chunked = None

    def _restart_after_dispute(self) -> None:
        """In one request if possible: the registry may have joined the chunks wrongly."""
        limits = self._target.limits
        if self._chunked is not None and not limits.requires_chunks(self._size, self._target.setting):
            limits.record_no_chunks("it joined the chunks to other bytes than were sent")
        self._restart()
