"""A download into the store: by one process at a time, verified before it gets its name, removed if it is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prebake.checkpoints.download.http_download import HttpRequest, Transfer, download, redact_url
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile
from prebake.checkpoints.store.checksums import expect_sha256
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import ChecksumMismatch


@dataclass(frozen=True)
class Download:
    """One file to download. ``pull`` completes the partial file and sets ``PartialFile.resumed`` if bytes were there before.
    Errors name ``origin``."""

    file: RemoteFile
    origin: str
    pull: Callable[[PartialFile], None]

    @property
    def name(self) -> str:
        return self.file.path


def download_to_store(download: Download, store: Store, progress: Progress) -> StoredObject:
    """Download the file unless the store has it. Raises ChecksumMismatch, and what ``pull`` raises."""
    file, key = download.file, download_key(download.file)
    with store.lock(key, report_other_process(store, key, download.name, progress)):
        if file.sha256 is not None and (path := store.get(file.sha256, file.size)) is not None:
            return StoredObject(file.sha256, path.stat().st_size, path)
        with PartialFile(store.partial_path(key)) as partial:
            try:
                _complete(download, partial, progress)
            except Exception as error:
                # An incomplete file is kept: an answer of the wrong size, such as a network's login page, is rejected
                # before it is written. An empty file, or a complete one with the wrong digest, is removed.
                if partial.done == 0 or (isinstance(error, ChecksumMismatch) and partial.done >= (file.size or 0)):
                    partial.discard()
                raise
            return store.add_partial(partial)


def _complete(download: Download, partial: PartialFile, progress: Progress) -> None:
    download.pull(partial)
    if partial.resumed and download.file.sha256 not in (None, partial.sha256):
        # The bytes of the earlier run may be wrong (a disk error, a changed file): download once more, from byte 0.
        progress.note(download.name, "the resumed download has another checksum; starting again")
        partial.restart()
        download.pull(partial)
    expect_sha256(download.name, download.file.sha256, partial.sha256, origin=download.origin)


@dataclass(frozen=True)
class HttpDownloader:
    """Downloads files by HTTP into a store."""

    transfer: Transfer
    store: Store

    def bring(self, file: RemoteFile, request: HttpRequest) -> StoredObject:
        """Download the file with ``download`` into the store."""

        def pull(partial: PartialFile) -> None:
            download(request, partial, self.transfer)

        return download_to_store(Download(file, redact_url(request.url), pull), self.store, self.transfer.progress)


def download_key(file: RemoteFile) -> str:
    """The name of the partial download and of its lock: the file's sha256, else a sha256 of its origin."""
    return file.sha256 or hashlib.sha256("\n".join((file.source, file.revision, file.locator)).encode()).hexdigest()


def report_other_process(store: Store, key: str, name: str, progress: Progress) -> Callable[[], None]:
    """Reports while another process downloads the same file: one note, then the number of downloaded bytes."""
    noted: list[bool] = []

    def report() -> None:
        if not noted:
            noted.append(True)
            progress.note(name, "another process is downloading it; waiting for that process")
        progress.report(name, _size(store.partial_path(key)), None)

    return report


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
