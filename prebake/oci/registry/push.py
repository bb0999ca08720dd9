"""A push of a whole image: several blobs at a time, the manifest last, stopped together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from prebake.errors import Interrupted
from prebake.io.byte_sizes import format_bytes
from prebake.io.thread_pool import ThreadPool
from prebake.oci.blobs.blobs import Blob, Image, read_all
from prebake.oci.blobs.content import Content
from prebake.oci.registry.repository import PushedBlob, Repository

WORKERS = 4
_SHUTDOWN_SECONDS = 3.0  # in which stopped workers cancel their uploads


@dataclass(frozen=True)
class PushResult:
    """``name`` is the image by its digest."""

    name: str
    manifest: PushedBlob
    blobs: tuple[PushedBlob, ...]

    @property
    def bytes(self) -> int:
        """Bytes that were sent for blobs and manifest."""
        return sum(pushed.bytes for pushed in (self.manifest, *self.blobs))


class PushProgress(Protocol):
    """Shows the progress of a push; several threads call it."""

    def expect(self, totals: Mapping[str, int]) -> None:
        """The image's blobs by name, with their sizes in bytes."""

    def report(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` bytes of a blob were sent or are present; ``done`` falls if an upload is restarted."""

    def note(self, name: str, text: str) -> None:
        """A line to show."""


def push_image(
    repository: Repository,
    image: Image,
    tag: str | None = None,
    *,
    mount_from: Sequence[str] = (),
    workers: int = WORKERS,
    progress: PushProgress | None = None,
) -> PushResult:
    """Push every blob, then the manifest under its tag, or under its digest if there is none.

    Without ``progress``, each blob is logged by the repository's log. Raises what ``Repository.push`` raises, or Interrupted; the
    registry keeps blobs that arrived, and the next call sends the rest.
    """
    stop = threading.Event()
    shown = progress or _LoggedProgress(repository)
    shown.expect({short_digest(blob.digest): blob.size for blob in image.blobs})
    stoppable = _stoppable_repository(repository.with_log(partial(shown.note, "push")), stop)
    try:
        jobs = [
            partial(_push, stoppable, _stoppable_blob(blob, stop), mount_from, shown) for blob in _in_push_order(image)
        ]
        pushed = ThreadPool("push", workers, _SHUTDOWN_SECONDS).run(jobs, stop)
        manifest = _push_manifest(repository, image, tag)
    except KeyboardInterrupt as interrupt:
        raise interrupted() from interrupt
    return PushResult(f"{repository.reference.name}@{image.digest}", manifest, tuple(pushed))


def interrupted() -> Interrupted:
    return Interrupted(
        "The push was stopped.",
        next_action="run the same command again: the registry keeps blobs that arrived whole",
    )


def short_digest(digest: str) -> str:
    """The first twelve digits, as a blob's name in a line."""
    return digest.removeprefix("sha256:")[:12]


def _in_push_order(image: Image) -> list[Blob]:
    """Blobs without content first, since they may end the push at once; then by size, so that no large one is last."""
    return sorted(image.blobs, key=lambda blob: (blob.content is not None, -blob.size))


def _push_manifest(repository: Repository, image: Image, tag: str | None) -> PushedBlob:
    """A manifest that the tag names already is not pushed again: the registry may have immutable tags."""
    target = tag or image.digest
    if repository.resolve(target) == image.digest:
        return PushedBlob(image.digest, "present")
    data = read_all(image.manifest)
    repository.put_manifest(target, image.manifest.descriptor.media_type, data, wait_for_blobs=True)
    return PushedBlob(image.digest, "sent", len(data))


class _StoppableContent:
    """A content that raises Interrupted in the thread that reads it, once ``stop`` is set."""

    def __init__(self, content: Content, stop: threading.Event) -> None:
        self._content = content
        self._stop = stop

    @property
    def size(self) -> int:
        return self._content.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        for chunk in self._content.chunks(offset):
            if self._stop.is_set():
                raise interrupted()
            yield chunk


def _stoppable_blob(blob: Blob, stop: threading.Event) -> Blob:
    return blob if blob.content is None else replace(blob, content=_StoppableContent(blob.content, stop))


def _stoppable_repository(repository: Repository, stop: threading.Event) -> Repository:
    """The repository with waits that end once ``stop`` is set."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise interrupted()

    return repository.with_retry_policy(replace(repository.retry_policy, pause=pause))


def _push(repository: Repository, blob: Blob, mount_from: Sequence[str], progress: PushProgress) -> PushedBlob:
    name = short_digest(blob.digest)
    pushed = repository.push(
        blob, mount_from=mount_from, on_progress=lambda done: progress.report(name, done, blob.size)
    )
    progress.report(name, blob.size, blob.size)
    progress.note("push", f"{blob.digest} ({format_bytes(blob.size)}) {pushed.how}")
    return pushed


@dataclass(frozen=True)
class _LoggedProgress:
    """Progress of a push without a display: only its lines are logged."""

    repository: Repository

    def expect(self, totals: Mapping[str, int]) -> None: ...

    def report(self, name: str, done: int, total: int | None) -> None: ...

    def note(self, name: str, text: str) -> None:  # noqa: ARG002
        self.repository.log(text)
