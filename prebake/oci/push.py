"""A whole image to a registry: several blobs at a time, the manifest last, stopped as one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from prebake.crew import Crew
from prebake.errors import Interrupted
from prebake.oci.blobs import Blob, Image, read_all
from prebake.oci.content import Content
from prebake.oci.registry import Repository, Sent
from prebake.sizes import show_bytes

WORKERS = 4
_FAREWELL = 3.0  # seconds that stopped workers get to have the registry forget their uploads


@dataclass(frozen=True)
class Pushed:
    """What a push did. ``name`` is the image by its digest."""

    name: str
    manifest: Sent
    blobs: tuple[Sent, ...]

    @property
    def bytes(self) -> int:
        """All that was sent, of blobs and manifest."""
        return sum(each.bytes for each in (self.manifest, *self.blobs))


class Watch(Protocol):
    """What a push tells while it runs; called from several threads."""

    def expect(self, totals: Mapping[str, int]) -> None:
        """The blobs of the image, by name, with their sizes in bytes."""

    def report(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` bytes of a blob are on their way, or there; ``done`` may fall when it is begun again."""

    def note(self, name: str, text: str) -> None:
        """Something worth a line."""


def push_image(
    repository: Repository,
    image: Image,
    tag: str | None = None,
    *,
    mount_from: Sequence[str] = (),
    workers: int = WORKERS,
    watch: Watch | None = None,
) -> Pushed:
    """Every blob, then the manifest, by its tag or else by its digest; before that, nothing refers to anything.

    Without ``watch`` the repository's narrator hears of each blob. Raises what ``Repository.push`` raises, or Interrupted;
    blobs that arrived are kept, and the next call sends the rest.
    """
    stop = threading.Event()
    watch = watch or _Narrated(repository)
    watch.expect({short_name(blob.digest): blob.size for blob in image.blobs})
    ours = _stoppable(repository.telling(partial(watch.note, "push")), stop)
    try:
        jobs = [partial(_push, ours, _stoppable_blob(blob, stop), mount_from, watch) for blob in _ordered(image)]
        sent = Crew("push", workers, _FAREWELL).carry_out(jobs, stop)
        manifest = _push_manifest(repository, image, tag)
    except KeyboardInterrupt as interrupt:
        raise interrupted() from interrupt
    return Pushed(f"{repository.reference.name}@{image.digest}", manifest, tuple(sent))


def interrupted() -> Interrupted:
    return Interrupted(
        "Stopped while pushing.", next_action="run the same command again: what arrived whole is kept at the registry"
    )


def _ordered(image: Image) -> list[Blob]:
    """Those without bytes first, as they may end the push at once; then by size, so that no large one is last."""
    return sorted(image.blobs, key=lambda blob: (blob.content is not None, -blob.size))


def _push_manifest(repository: Repository, image: Image, tag: str | None) -> Sent:
    """Not put where it is: registries may hold tags to be immutable."""
    target = tag or image.digest
    if repository.resolve(target) == image.digest:
        return Sent(image.digest, "present")
    data = read_all(image.manifest)
    repository.put_manifest(target, image.manifest.descriptor.media_type, data, wait_for_blobs=True)
    return Sent(image.digest, "sent", len(data))


class _Stoppable:
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
    return blob if blob.content is None else replace(blob, content=_Stoppable(blob.content, stop))


def _stoppable(repository: Repository, stop: threading.Event) -> Repository:
    """It waits for nothing once ``stop`` is set."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise interrupted()

    return repository.patient(replace(repository.patience, pause=pause))


def _push(repository: Repository, blob: Blob, mount_from: Sequence[str], watch: Watch) -> Sent:
    name = short_name(blob.digest)
    sent = repository.push(blob, mount_from=mount_from, passed=lambda done: watch.report(name, done, blob.size))
    watch.report(name, blob.size, blob.size)
    watch.note("push", f"{blob.digest} ({show_bytes(blob.size)}) {sent.how}")
    return sent


@dataclass(frozen=True)
class _Narrated:
    """A push that nobody watches."""

    repository: Repository

    def expect(self, totals: Mapping[str, int]) -> None: ...

    def report(self, name: str, done: int, total: int | None) -> None: ...

    def note(self, name: str, text: str) -> None:  # noqa: ARG002
        self.repository.say(text)


def short_name(digest: str) -> str:
    """What a blob is called in a line."""
    return digest.removeprefix("sha256:")[:12]
