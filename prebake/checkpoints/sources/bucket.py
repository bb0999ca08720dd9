"""Objects of a bucket by fsspec. Credentials, endpoint and region come from the libraries' own environment variables.

Objects are read in ranges, several at a time if an object is large, so that a download continues where it stopped. If the bucket
keeps versions, the locked version is read. If an object has only an ETag, the ETag is compared again at the end: ranges of two
objects would otherwise be joined to a third one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from prebake.checkpoints.download.download import Download, download_to_store
from prebake.checkpoints.download.http_download import DOWNLOAD_RETRY
from prebake.checkpoints.download.http_ranges import DEFAULT_RANGES, RangePart, Ranges, Readahead
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.sources.object_stores import FileSystem, ObjectStore
from prebake.checkpoints.store.checksums import expect_size
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import PrebakeError, SourceError
from prebake.io.http_errors import RequestFailure, explain
from prebake.io.log import log_to_stderr
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry
from prebake.spec.image.sources import FromGs, FromS3


class _OtherSize(TransientError):
    """The store sent fewer or more bytes than requested: the object was replaced meanwhile."""


class Bucket:
    """``from: s3`` and ``from: gs``."""

    def __init__(
        self,
        cloud: ObjectStore,
        retry_policy: RetryPolicy = DOWNLOAD_RETRY,
        *,
        piece: int = DEFAULT_RANGES.piece,
        least: int = DEFAULT_RANGES.least,
    ) -> None:
        self._cloud = cloud
        self._retry_policy = retry_policy
        self._ranges = Ranges(piece=piece, least=least)
        self._opened: FileSystem | None = None
        self._lock = threading.Lock()

    def resolve(self, spec: FromS3 | FromGs) -> list[RemoteFile]:
        source = f"{spec.kind}:{spec.url}"
        found = [(file, self._look(_place(source, file))) for file in spec.files]
        _expect_readable({_place(source, file): info for file, info in found})
        return [
            RemoteFile(target_path(spec.to, file), source, self._cloud.revision(info), file, int(info["size"]))
            for file, info in found
            if info is not None
        ]

    def names(self, spec: FromS3 | FromGs) -> list[str]:
        prefix = spec.url.partition("://")[2].rstrip("/") + "/"

        def attempt() -> list[str]:
            with self._named_failures(spec.url):
                return [name.removeprefix(prefix) for name in self._files().find(prefix) if name.startswith(prefix)]

        return retry(attempt, RetryState(self._retry_policy, spec.url, log_to_stderr))

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}/{file.locator}:{file.revision}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        return [self._fetch(file, store, progress) for file in unit]

    def _look(self, place: str) -> Mapping[str, Any] | None:
        """An object's info; None if there is no object of this name."""

        def attempt() -> Mapping[str, Any] | None:
            with self._named_failures(place):
                try:
                    info = self._files().info(place)
                except FileNotFoundError:
                    return None
                return info if info["type"] == "file" else None

        return retry(attempt, RetryState(self._retry_policy, place, log_to_stderr))

    def _fetch(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        place = _place(file.source, file.locator)

        def pull(partial: PartialFile) -> None:
            ranges = self._ranges

            def attempt() -> None:
                nonlocal ranges
                try:
                    with self._named_failures(place):
                        self._pull(file, place, partial, ranges, progress)
                except TransientError:  # some stores allow fewer requests than others
                    ranges = replace(ranges, width=max(1, ranges.width // 2))
                    raise

            def note(text: str) -> None:
                progress.note(file.path, text)

            retry(attempt, RetryState(self._retry_policy, place, note), done=lambda: partial.done)

        return download_to_store(Download(file, place, pull), store, progress)

    def _pull(self, file: RemoteFile, place: str, partial: PartialFile, ranges: Ranges, progress: Progress) -> None:
        pinned = self._cloud.pinned(place, file.revision)
        size, revision = self._check(file, pinned, progress)
        if partial.done > size:
            partial.restart()
        partial.resumed = partial.done > 0
        if not ranges.pay(size - partial.done):
            ranges = replace(ranges, width=1)

        def report(ahead: int) -> None:
            progress.report(file.path, partial.done + ahead, size)

        try:
            with Readahead(lambda part: self._read(place, pinned, part), ranges, partial.done, size) as readahead:
                for data in readahead.take(report):
                    partial.write(data)
                    report(0)
        except _OtherSize:
            partial.restart()
            raise
        if pinned == place and self._cloud.revision(self._files().info(place)) != revision:
            partial.restart()
            raise TransientError("the object was replaced while it was read", to_error=unusable, after=0.0)

    def _read(self, place: str, pinned: str, part: RangePart) -> None:
        with self._named_failures(place):
            data = self._files().cat_file(pinned, start=part.start, end=part.end)
        if len(data) != part.end - part.start:
            asked = f"bytes {part.start} to {part.end} were requested"
            raise _OtherSize(f"{asked}, but {len(data)} bytes arrived", to_error=unusable)
        part.data += data

    def _check(self, file: RemoteFile, place: str, progress: Progress) -> tuple[int, str]:
        """An object's present size in bytes and revision. An object with another ETag may still have the same bytes."""
        info = self._files().info(place)
        size, revision = int(info["size"]), self._cloud.revision(info)
        expect_size(file.path, file.size, size, origin=place)
        if revision != file.revision and file.sha256 is None:
            raise SourceError(f"{place} was replaced while it was locked.", next_action="lock again")
        if revision != file.revision:
            progress.note(
                file.path, f"{place} was written again since it was locked; its sha256 decides whether it changed"
            )
        return size, revision

    def _files(self) -> FileSystem:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> FileSystem:
        kind, package = self._cloud.kind, self._cloud.package
        try:
            return self._cloud.open(self._retry_policy)
        except ImportError as error:
            raise SourceError(
                f"`from: {kind}` needs the package {package}, which {sys.executable} does not have.",
                next_action=f"{sys.executable} -m pip install {package} (the extra `prebake[{kind}]` contains it)",
            ) from error

    @contextmanager
    def _named_failures(self, place: str) -> Iterator[None]:
        """Raise the libraries' exceptions, which have no common class, as Prebake's."""
        try:
            yield
        except (PrebakeError, TransientError):
            raise
        except FileNotFoundError as error:
            raise SourceError(
                f"{place} no longer exists: the object or the locked version was removed.",
                next_action="put it back, or lock again and review the difference",
            ) from error
        except Exception as error:
            if self._cloud.refuses(error):
                raise SourceError(
                    f"{place}: the store refuses access ({error}).", next_action=self._cloud.permission
                ) from error
            if self._cloud.passes(error):
                raise TransientError(explain(RequestFailure.UNCONNECTED.value, error), to_error=unreachable) from error
            raise SourceError(
                f"{place}: {type(error).__name__}: {error}", next_action="check `url` and `files` in image.yaml"
            ) from error


def _expect_readable(found: Mapping[str, Mapping[str, Any] | None]) -> None:
    """``found`` has the info of each object, by place. Raises SourceError with every object that is missing, or that arrives
    with other bytes than it is stored with: Cloud Storage unpacks objects with ``Content-Encoding: gzip``, and then ignores
    ranges."""
    missing = [place for place, info in found.items() if info is None]
    if missing:
        raise SourceError(
            f"There is no object {', '.join(missing)}.", next_action="correct `url` or `files` in image.yaml"
        )
    packed = [place for place, info in found.items() if info and info.get("contentEncoding") == "gzip"]
    if packed:
        raise SourceError(
            f"{', '.join(packed)}: stored with `Content-Encoding: gzip`, so Cloud Storage unpacks it while it is downloaded.",
            next_action="upload it without `Content-Encoding` (gcloud storage cp, without --gzip-local), then lock again",
        )


def _place(source: str, file: str) -> str:
    """``s3://bucket/prefix/file``."""
    return f"{source.partition(':')[2].rstrip('/')}/{file}"
