"""A download into the store: one process at a time, verified before it has a name, thrown away when it is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_sha256
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile
from prebake.checkpoints.store import Store, Stored
from prebake.checkpoints.transfer import Request, download, shown
from prebake.errors import ChecksumMismatch
from prebake.patience import Patience


@dataclass(frozen=True)
class Delivery:
    """How files come: over which client, how patiently, into which store, and who is told."""

    client: httpx.Client
    patience: Patience
    store: Store
    progress: Progress

    def bring(self, file: RemoteFile, request: Request) -> Stored:
        """The file in the store, downloaded unless it is there. Raises as ``download`` does, and ChecksumMismatch."""
        key = delivery_key(file)
        with self.store.lock(key, waiting(self.store, key, request.name, self.progress)):
            if file.sha256 is not None and (path := self.store.get(file.sha256, file.size)) is not None:
                return Stored(file.sha256, path.stat().st_size, path)
            with Partial(self.store.partial_path(key)) as partial:
                try:
                    self._complete(file, request, partial)
                except Exception as error:
                    # A first part stays, whatever happened: an answer of the wrong size, such as a network's login
                    # page, is seen before it is written. Whole and wrong, or empty, it goes.
                    if partial.done == 0 or (isinstance(error, ChecksumMismatch) and partial.done >= (file.size or 0)):
                        partial.discard()
                    raise
                return self.store.add_partial(partial)

    def _complete(self, file: RemoteFile, request: Request, partial: Partial) -> None:
        download(request, partial, self.client, self.patience, self.progress)
        if partial.resumed and file.sha256 not in (None, partial.sha256):
            # An earlier run's bytes may be the wrong ones (a torn disk, a publisher's change): once more, from 0.
            self.progress.note(request.name, "the resumed download has another checksum; starting again")
            partial.restart()
            download(request, partial, self.client, self.patience, self.progress)
        expect_sha256(request.name, file.sha256, partial.sha256, origin=shown(request.url))


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
