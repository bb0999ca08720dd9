"""The port between a kind of source and the rest: what is published where, and how its bytes get into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.store import Store, Stored
from prebake.errors import SourceError
from prebake.spec.lock import LockedFile


@dataclass(frozen=True)
class RemoteFile:
    """One file of a checkpoint where it is published.

    ``path`` is its place in the checkpoint; ``source`` is kind and origin (``hub:owner/name@main``), ``revision`` what
    the origin was resolved to, ``locator`` the file there. ``size`` (bytes) and ``sha256`` are None where the source
    publishes none: then the bytes have to be had to know them.
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
    """One kind of source, registered under its ``from:`` word."""

    def resolve(self, spec: Any) -> Sequence[RemoteFile]:
        """What a source of ``image.yaml`` names now, pinned. Raises SourceError or NoNetwork."""

    def unit(self, file: RemoteFile) -> str:
        """Files of the same unit are fetched in one go: the members of one archive, or a single file."""

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> Sequence[Stored]:
        """Bring the unit's files into the store, in their order, each verified where its sha256 is known.

        Raises SourceError, NoNetwork, ChecksumMismatch or NoRoom.
        """


class Lister(Protocol):
    """A source that tells what there is."""

    def names(self, spec: Any) -> Sequence[str]:
        """What ``files`` of a spec could name, whatever it names now. Raises SourceError or NoNetwork."""


Sources = Mapping[str, Source]


def placed(to: str | None, file: str) -> str:
    """A file's path in the checkpoint: the source's ``to`` folder put in front."""
    return f"{to}/{file}" if to else file


def as_remote(file: LockedFile) -> RemoteFile:
    return RemoteFile(file.path, file.source, file.revision, file.locator, file.size, file.sha256)


def find_source(sources: Sources, kind: str) -> Source:
    """The source of a kind. Raises SourceError for one that this version does not have."""
    if kind not in sources:
        known = ", ".join(sorted(sources))
        raise SourceError(
            f"No source is of the kind {kind!r}; there are: {known}.", next_action="lock again with this version"
        )
    return sources[kind]
