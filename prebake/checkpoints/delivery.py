"""A download into the store: one process at a time, verified before it has a name, thrown away when it is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_sha256
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile
from prebake.checkpoints.store import Store, Stored
from prebake.checkpoints.transfer import Request, Transfer, download, shown
from prebake.errors import ChecksumMismatch


@dataclass(frozen=True)
class Errand:
    """One file to bring. ``pull`` completes what is there of it, saying in ``Partial.resumed`` whether bytes were there
    before; ``origin`` is what errors name."""

    file: RemoteFile
    origin: str
    pull: Callable[[Partial], None]

    @property
    def name(self) -> str:
        return self.file.path


def deliver(errand: Errand, store: Store, progress: Progress) -> Stored:
    """The file in the store, downloaded unless it is there. Raises as ``pull`` does, and ChecksumMismatch."""
    file, key = errand.file, delivery_key(errand.file)
    with store.lock(key, waiting(store, key, errand.name, progress)):
        if file.sha256 is not None and (path := store.get(file.sha256, file.size)) is not None:
            return Stored(file.sha256, path.stat().st_size, path)
        with Partial(store.partial_path(key)) as partial:
            try:
                _complete(errand, partial, progress)
            except Exception as error:
                # A first part stays, whatever happened: an answer of the wrong size, such as a network's login
                # page, is seen before it is written. Whole and wrong, or empty, it goes.
                if partial.done == 0 or (isinstance(error, ChecksumMismatch) and partial.done >= (file.size or 0)):
                    partial.discard()
                raise
            return store.add_partial(partial)


def _complete(errand: Errand, partial: Partial, progress: Progress) -> None:
    errand.pull(partial)
    if partial.resumed and errand.file.sha256 not in (None, partial.sha256):
        # An earlier run's bytes may be the wrong ones (a torn disk, a publisher's change): once more, from 0.
        progress.note(errand.name, "the resumed download has another checksum; starting again")
        partial.restart()
        errand.pull(partial)
    expect_sha256(errand.name, errand.file.sha256, partial.sha256, origin=errand.origin)


@dataclass(frozen=True)
class Delivery:
    """How files come by HTTP, and into which store."""

    transfer: Transfer
    store: Store

    def bring(self, file: RemoteFile, request: Request) -> Stored:
        """``deliver``, by ``download``."""

        def pull(partial: Partial) -> None:
            download(request, partial, self.transfer)

        return deliver(Errand(file, shown(request.url), pull), self.store, self.transfer.progress)


def delivery_key(file: RemoteFile) -> str:
    """What the partial download and its lock are called: the file's sha256, else one of where it is published."""
    return file.sha256 or hashlib.sha256("\n".join((file.source, file.revision, file.locator)).encode()).hexdigest()


def waiting(store: Store, key: str, name: str, progress: Progress) -> Callable[[], None]:
    """What is told while another process fetches the same: that it does, and how far it is."""
    told: list[bool] = []

    def tell() -> None:
        if not told:
            told.append(True)
            progress.note(name, "another process is fetching it; waiting for that")
        progress.report(name, _size(store.partial_path(key)), None)

    return tell


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
