"""Look up records and bytes: in the store, at the registries that this build pushes to, and at those of ``--cache-from``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prebake.errors import ChecksumMismatch, PrebakeError
from prebake.io.log import Log
from prebake.io.retry import RetryPolicy
from prebake.oci.blobs.blobs import Descriptor
from prebake.oci.blobs.content import Content
from prebake.oci.errors import RegistryDenied, RegistryError, RegistryUnreachable
from prebake.oci.records.layer_records import LayerRecord, Records
from prebake.oci.records.registry_records import look_up, publish
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import RemoteContent

_CACHE_FAULTS = (ChecksumMismatch, RegistryDenied, RegistryError, RegistryUnreachable)
_CACHE_ATTEMPTS = 3
"""Fewer than for a registry that the image goes to: without a cache the build is slower, and right."""


class MissingBlobs(PrebakeError):
    """A destination lacks a layer, and the layer's bytes are not on this machine, even after it was built again."""

    def __init__(self, digests: Collection[str]) -> None:
        super().__init__(
            f"This machine does not have these blobs: {', '.join(sorted(digests))}",
            next_action="build again on a machine that can reach the checkpoint's sources",
        )
        self.digests = frozenset(digests)


@dataclass(frozen=True)
class BuildCache:
    """Records of the store first; a record that only a repository has is copied into the store. ``repositories`` are those that
    the build pushes to. ``caches`` are only read; a fault of one is a warning, and the cache is not asked again. ``refusing`` are
    the names of repositories whose records cannot be read."""

    records: Records
    repositories: Sequence[Repository] = ()
    caches: Sequence[Repository] = ()
    refusing: set[str] = field(default_factory=set, compare=False)

    @property
    def readable(self) -> list[Repository]:
        """All repositories, without caches that had a fault."""
        return [*self.repositories, *(cache for cache in self.caches if cache.reference.name not in self.refusing)]

    def layers(self, key: str) -> tuple[LayerRecord, ...] | None:
        known = self.records.layers(key)
        if known is not None:
            return known
        for repository in self.readable:
            if (found := self._look_up(repository, key)) is not None:
                self.records.put_layers(key, found)
                return found
        return None

    def leave_out(self, repository: Repository, error: PrebakeError) -> None:
        """Ask a cache no more. Raises ``error`` if the build pushes to the repository."""
        if repository not in self.caches:
            raise error
        if repository.reference.name not in self.refusing:
            self.refusing.add(repository.reference.name)
            repository.log(f"warning: it is left out of the caches, and what only it has is made here: {error.message}")

    def _look_up(self, repository: Repository, key: str) -> tuple[LayerRecord, ...] | None:
        """If a registry's records cannot be read, layers are built again; the image can still be pushed there."""
        name = repository.reference.name
        if name in self.refusing:
            return None
        try:
            return look_up(repository, key)
        except _CACHE_FAULTS as error:
            if repository not in self.caches and isinstance(error, RegistryError):
                self.refusing.add(name)
                repository.log(f"its records of layers cannot be read, so layers are built again: {error.message}")
            else:
                self.leave_out(repository, error)
            return None

    def publish(self, repository: Repository, keys: Iterable[str]) -> None:
        """Write the records of these keys to a repository that holds the image."""
        for key in keys:
            if (records := self.records.layers(key)) is not None:
                publish(repository, key, records)

    def content(self, descriptor: Descriptor) -> Content | None:
        """A blob's bytes from the first repository that has them."""
        for repository in self.readable:
            try:
                if repository.has(descriptor.digest):
                    known = RemoteContent(repository, descriptor)
                    return CachedContent(self, repository, descriptor) if repository in self.caches else known
            except _CACHE_FAULTS as error:
                self.leave_out(repository, error)
        return None


class CachedContent(RemoteContent):
    """A blob's bytes at a cache. If they cannot be read or do not match their digest, the cache is left out, and MissingBlobs
    is raised, so that the layer is made again. The last chunk is given only after the digest was compared: who reads as many
    bytes as the blob has would not ask for another chunk."""

    def __init__(self, cache: BuildCache, repository: Repository, descriptor: Descriptor) -> None:
        super().__init__(repository, descriptor)
        self._cache = cache
        self._repository = repository

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        try:
            held = b""
            for chunk in super().chunks(offset):
                if held:
                    yield memoryview(held)
                held = bytes(chunk)
            if held:
                yield memoryview(held)
        except _CACHE_FAULTS as error:
            self._cache.leave_out(self._repository, error)
            raise MissingBlobs([self._descriptor.digest]) from error


def open_caches(references: Sequence[str], pushed: Sequence[Repository], log: Log) -> list[Repository]:
    """The repositories of ``--cache-from``, each once, without those that the build pushes to. Raises ReferenceInvalid."""
    names = {repository.reference.name for repository in pushed}
    wanted = {reference.name: reference for reference in map(parse_reference, references)}
    policy = RetryPolicy(attempts=_CACHE_ATTEMPTS)
    return [
        Repository(reference, retry_policy=policy, log=log) for name, reference in wanted.items() if name not in names
    ]
