"""Look up records and bytes: in the store, then at the registries that this build pushes to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prebake.oci.blobs.blobs import Descriptor
from prebake.oci.blobs.content import Content
from prebake.oci.errors import RegistryError
from prebake.oci.records.layer_records import LayerRecord, Records
from prebake.oci.records.registry_records import look_up, publish
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import RemoteContent


@dataclass(frozen=True)
class BuildCache:
    """Records of the store first; a record that only a repository has is copied into the store. ``refusing`` are the names
    of repositories whose records cannot be read."""

    records: Records
    repositories: Sequence[Repository] = ()
    refusing: set[str] = field(default_factory=set, compare=False)

    def layers(self, key: str) -> tuple[LayerRecord, ...] | None:
        known = self.records.layers(key)
        if known is not None:
            return known
        for repository in self.repositories:
            if (found := self._look_up(repository, key)) is not None:
                self.records.put_layers(key, found)
                return found
        return None

    def _look_up(self, repository: Repository, key: str) -> tuple[LayerRecord, ...] | None:
        """If a registry's records cannot be read, layers are built again; the image can still be pushed there."""
        name = repository.reference.name
        if name in self.refusing:
            return None
        try:
            return look_up(repository, key)
        except RegistryError as error:
            self.refusing.add(name)
            repository.log(f"its records of layers cannot be read, so layers are built again: {error.message}")
            return None

    def publish(self, repository: Repository, keys: Iterable[str]) -> None:
        """Write the records of these keys to a repository that holds the image."""
        for key in keys:
            if (records := self.records.layers(key)) is not None:
                publish(repository, key, records)

    def content(self, descriptor: Descriptor) -> Content | None:
        """A blob's bytes from the first repository that has them."""
        for repository in self.repositories:
            if repository.has(descriptor.digest):
                return RemoteContent(repository, descriptor)
        return None
