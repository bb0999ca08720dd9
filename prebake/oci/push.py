"""A whole image to a registry: several blobs at a time, the manifest last, stopped as one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from prebake.errors import Interrupted
from prebake.oci.blobs import Blob, Image, read_all
from prebake.oci.content import Content
from prebake.oci.registry import Repository, Sent
from prebake.sizes import show_bytes

WORKERS = 4
_FAREWELL = 3.0  # seconds that stopped workers get to have the registry forget their uploads

Outcome = Sent | BaseException


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


def push_image(
    repository: Repository,
    image: Image,
    tag: str | None = None,
    *,
    mount_from: Sequence[str] = (),
    workers: int = WORKERS,
) -> Pushed:
    """Every blob, then the manifest, by its tag or else by its digest; before that, nothing refers to anything.

    Raises what ``Repository.push`` raises, or Interrupted; blobs that arrived are kept, and the next call sends the
    rest.
    """
    sent: list[Sent] = []
    try:
        with closing(_carry_out(repository, _ordered(image), mount_from, workers)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                sent.append(outcome)
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
    repository.put_manifest(target, image.manifest.descriptor.media_type, data)
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


def _carry_out(
    repository: Repository, blobs: Sequence[Blob], mount_from: Sequence[str], workers: int
) -> Generator[Outcome, None, None]:
    """Outcomes as they come. Daemon threads: one that hangs in a read must not keep a stopped program alive."""
    todo: queue.SimpleQueue[Blob] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    stop = threading.Event()
    for blob in blobs:
        todo.put(blob if blob.content is None else replace(blob, content=_Stoppable(blob.content, stop)))
    work = (_stoppable(repository, stop), todo, done, mount_from)
    threads = [threading.Thread(target=_work, args=work, daemon=True, name="push") for _ in blobs[:workers]]
    try:
        for thread in threads:
            thread.start()
        for _ in blobs:
            yield done.get()
    finally:
        stop.set()
        deadline = time.monotonic() + _FAREWELL
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _stoppable(repository: Repository, stop: threading.Event) -> Repository:
    """It waits for nothing once ``stop`` is set."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise interrupted()

    return repository.patient(replace(repository.patience, pause=pause))


def _work(
    repository: Repository, todo: queue.SimpleQueue[Blob], done: queue.SimpleQueue[Outcome], mount_from: Sequence[str]
) -> None:
    while True:
        try:
            blob = todo.get_nowait()
        except queue.Empty:
            return
        try:
            sent = repository.push(blob, mount_from=mount_from)
            repository.say(f"{blob.digest} ({show_bytes(blob.size)}) {sent.how}")
            done.put(sent)
        except BaseException as error:  # handed to the caller's thread, which raises it
            done.put(error)
            return
