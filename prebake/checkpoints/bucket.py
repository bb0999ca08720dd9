"""Objects of a bucket by fsspec: credentials, endpoint and region are those of the libraries' own environment.

They come in pieces by range, several at a time if an object is large, so that a download goes on where it stopped. A version,
where the bucket keeps versions, is read as such; an object that has only an ETag is looked at again at the end, as pieces of two
would make a third.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from prebake.checkpoints.clouds import Cloud, FileSystem
from prebake.checkpoints.delivery import Errand, deliver
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_size
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.ranges import SEVERAL, Part, Ranges, Readahead
from prebake.checkpoints.source import RemoteFile, placed
from prebake.checkpoints.store import Store, Stored
from prebake.checkpoints.transfer import DOWNLOADS
from prebake.errors import PrebakeError, SourceError
from prebake.http_failures import Failure, explain
from prebake.patience import Passing, Patience, Tries, persist
from prebake.process import narrate
from prebake.spec.sources import FromGs, FromS3


class _OtherSize(Passing):
    """Fewer bytes or more than were asked for: the object is another one by now."""


class Bucket:
    """``from: s3`` and ``from: gs``."""

    def __init__(
        self, cloud: Cloud, patience: Patience = DOWNLOADS, *, piece: int = SEVERAL.piece, least: int = SEVERAL.least
    ) -> None:
        self._cloud = cloud
        self._patience = patience
        self._ranges = Ranges(piece=piece, least=least)
        self._opened: FileSystem | None = None
        self._lock = threading.Lock()

    def resolve(self, spec: FromS3 | FromGs) -> list[RemoteFile]:
        source = f"{spec.kind}:{spec.url}"
        found = [(file, self._look(_place(source, file))) for file in spec.files]
        _expect_readable({_place(source, file): info for file, info in found})
        return [
            RemoteFile(placed(spec.to, file), source, self._cloud.revision(info), file, int(info["size"]))
            for file, info in found
            if info is not None
        ]

    def names(self, spec: FromS3 | FromGs) -> list[str]:
        prefix = spec.url.partition("://")[2].rstrip("/") + "/"

        def attempt() -> list[str]:
            with self._named_failures(spec.url):
                return [name.removeprefix(prefix) for name in self._files().find(prefix) if name.startswith(prefix)]

        return persist(attempt, Tries(self._patience, spec.url, narrate))

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}/{file.locator}:{file.revision}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[Stored]:
        return [self._fetch(file, store, progress) for file in unit]

    def _look(self, place: str) -> Mapping[str, Any] | None:
        """An object's info; None where there is none of that name."""

        def attempt() -> Mapping[str, Any] | None:
            with self._named_failures(place):
                try:
                    info = self._files().info(place)
                except FileNotFoundError:
                    return None
                return info if info["type"] == "file" else None

        return persist(attempt, Tries(self._patience, place, narrate))

    def _fetch(self, file: RemoteFile, store: Store, progress: Progress) -> Stored:
        place = _place(file.source, file.locator)

        def pull(partial: Partial) -> None:
            ranges = self._ranges

            def attempt() -> None:
                nonlocal ranges
                try:
                    with self._named_failures(place):
                        self._pull(file, place, partial, ranges, progress)
                except Passing:  # some stores bear fewer requests than others
                    ranges = replace(ranges, width=max(1, ranges.width // 2))
                    raise

            def note(text: str) -> None:
                progress.note(file.path, text)

            persist(attempt, Tries(self._patience, place, note), done=lambda: partial.done)

        return deliver(Errand(file, place, pull), store, progress)

    def _pull(self, file: RemoteFile, place: str, partial: Partial, ranges: Ranges, progress: Progress) -> None:
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
            raise Passing("the object was replaced while it was read", becomes=unusable, after=0.0)

    def _read(self, place: str, pinned: str, part: Part) -> None:
        with self._named_failures(place):
            data = self._files().cat_file(pinned, start=part.start, end=part.end)
        if len(data) != part.end - part.start:
            asked = f"bytes {part.start} to {part.end} were asked for"
            raise _OtherSize(f"{asked}, and {len(data)} bytes came", becomes=unusable)
        part.data += data

    def _check(self, file: RemoteFile, place: str, progress: Progress) -> tuple[int, str]:
        """An object's size in bytes and revision now. One with another ETag may still be the same bytes."""
        info = self._files().info(place)
        size, revision = int(info["size"]), self._cloud.revision(info)
        expect_size(file.path, file.size, size, origin=place)
        if revision != file.revision and file.sha256 is None:
            raise SourceError(f"{place} was replaced while it was locked.", next_action="lock again")
        if revision != file.revision:
            progress.note(file.path, f"{place} was written again since it was locked; its bytes will tell")
        return size, revision

    def _files(self) -> FileSystem:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> FileSystem:
        kind, package = self._cloud.kind, self._cloud.package
        try:
            return self._cloud.open(self._patience)
        except ImportError as error:
            raise SourceError(
                f"`from: {kind}` needs the package {package}, which {sys.executable} does not have.",
                next_action=f"{sys.executable} -m pip install {package} (the extra `prebake[{kind}]` names it)",
            ) from error

    @contextmanager
    def _named_failures(self, place: str) -> Iterator[None]:
        """The libraries' exceptions as ours; they have no common class."""
        try:
            yield
        except (PrebakeError, Passing):
            raise
        except FileNotFoundError as error:
            raise SourceError(
                f"{place} does not exist any more: the object, or the version that is locked.",
                next_action="put it back, or lock again and review the difference",
            ) from error
        except Exception as error:
            if self._cloud.refuses(error):
                raise SourceError(
                    f"{place}: access is refused ({error}).", next_action=self._cloud.permission
                ) from error
            if self._cloud.passes(error):
                raise Passing(explain(Failure.UNCONNECTED.value, error), becomes=unreachable) from error
            raise SourceError(
                f"{place}: {type(error).__name__}: {error}", next_action="check `url` and `files` in image.yaml"
            ) from error


def _expect_readable(found: Mapping[str, Mapping[str, Any] | None]) -> None:
    """``found`` has an object's info by its place. Raises SourceError for all that are missing, or come as other bytes than
    are kept: Cloud Storage unpacks what has ``Content-Encoding: gzip``, and heeds no range then."""
    missing = [place for place, info in found.items() if info is None]
    if missing:
        raise SourceError(f"There is no {', '.join(missing)}.", next_action="correct `url` or `files` in image.yaml")
    packed = [place for place, info in found.items() if info and info.get("contentEncoding") == "gzip"]
    if packed:
        raise SourceError(
            f"{', '.join(packed)}: kept with `Content-Encoding: gzip`, so that its bytes change on their way.",
            next_action="upload it without `Content-Encoding` (gcloud storage cp, without --gzip-local), then lock again",
        )


def _place(source: str, file: str) -> str:
    """``s3://bucket/prefix/file``."""
    return f"{source.partition(':')[2].rstrip('/')}/{file}"
