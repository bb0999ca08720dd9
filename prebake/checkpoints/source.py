"""The port of a kind of source: it resolves files to pinned ones and downloads them into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import SourceError
from prebake.spec.lock import LockedFile


@dataclass(frozen=True)
class RemoteFile:
    """One published file of a checkpoint.

    ``path`` is its place in the checkpoint; ``source`` is kind and origin (``hub:owner/name@main``), ``revision`` what
    the origin was resolved to, ``locator`` the file there. ``size`` (bytes) and ``sha256`` are None if the source
    publishes none: they are known after the download.
    """

    path: str
    source: str
    revision: str
    locator: str
    size: int | None = None
    sha256: str | None = None

    @property
    def kind(self) -> str:
        return self.source.partition(":")[0]

    @property
    def origin(self) -> str:
        return self.source.partition(":")[2]


class Source(Protocol):
    """One kind of source, registered under its name in ``from:``."""

    def resolve(self, spec: Any) -> Sequence[RemoteFile]:
        """The files that a source of ``image.yaml`` names now, pinned. Raises SourceError or NoNetwork."""

    def unit(self, file: RemoteFile) -> str:
        """The key of a download: files with the same key are fetched together, such as the members of one archive."""

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> Sequence[StoredObject]:
        """Download the unit's files into the store, in order; each is verified if its sha256 is known.

        Raises SourceError, NoNetwork, ChecksumMismatch or NoRoom.
        """


class FileLister(Protocol):
    """A source that can list its files."""

    def names(self, spec: Any) -> Sequence[str]:
        """The files that ``files`` of a spec may name. Raises SourceError or NoNetwork."""


Sources = Mapping[str, Source]


def target_path(to: str | None, file: str) -> str:
    """The path of a file in the checkpoint: below the source's folder ``to``."""
    return f"{to}/{file}" if to else file


def as_remote(file: LockedFile) -> RemoteFile:
    return RemoteFile(file.path, file.source, file.revision, file.locator, file.size, file.sha256)


def find_source(sources: Sources, kind: str) -> Source:
    """The source of a kind. Raises SourceError if this version has none."""
    if kind not in sources:
        known = ", ".join(sorted(sources))
        raise SourceError(
            f"No source is of the kind {kind!r}; there are: {known}.", next_action="lock again with this version"
        )
    return sources[kind]
