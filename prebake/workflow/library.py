"""Where records and bytes are looked for: the store, then the registries that this build goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prebake.oci.blobs import Descriptor
from prebake.oci.content import Content
from prebake.oci.download import RemoteContent
from prebake.oci.errors import RegistryError
from prebake.oci.records import LayerRecord, Records
from prebake.oci.registry import Repository
from prebake.oci.shared_records import look_up, publish


@dataclass(frozen=True)
class Library:
    """The store's records first; what only a repository remembers is noted in the store."""

    records: Records
    repositories: Sequence[Repository] = ()
    refusing: set[str] = field(default_factory=set, compare=False)  # names of those that let nobody read records

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
        """A registry that cannot be asked for records has the layers made again, and can still get the image."""
        name = repository.reference.name
        if name in self.refusing:
            return None
        try:
            return look_up(repository, key)
        except RegistryError as error:
            self.refusing.add(name)
            repository.say(f"what it knows of layers cannot be read, so they are made again: {error.message}")
            return None

    def publish(self, repository: Repository, key: str) -> None:
        known = self.records.layers(key)
        if known is not None:
            publish(repository, key, known)

    def content(self, descriptor: Descriptor) -> Content | None:
        """A blob's bytes from the first repository that has them."""
        for repository in self.repositories:
            if repository.has(descriptor.digest):
                return RemoteContent(repository, descriptor)
        return None
