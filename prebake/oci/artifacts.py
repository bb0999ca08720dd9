"""Artifacts at registries, by the references of what they hold: their manifests, and what their layers are made of."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any

from prebake.oci.blobs import Descriptor
from prebake.oci.download import remote_blob
from prebake.oci.errors import unusable
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.oci.unpacked import DAMAGE, files_of
from prebake.patience import Patience


class RegistryArtifacts:
    """Every registry, each repository opened once. Raises what Repository does, and ReferenceInvalid."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience
        self._opened: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
        found = self._repository(reference).get_manifest(digest or parse_reference(reference).target)
        if found is None:
            return None
        try:
            document = json.loads(found[1])
        except ValueError as error:
            raise unusable(reference, f"its manifest is not JSON ({error})") from error
        return found[0].digest, document if isinstance(document, dict) else {}

    def blob(self, reference: str, layer: Mapping[str, Any], offset: int) -> Iterator[memoryview]:
        return self._repository(reference).open_blob(layer["digest"], layer["size"], offset)

    def files(self, reference: str, layer: Mapping[str, Any]) -> Iterator[tuple[str, int, IO[bytes]]]:
        descriptor = Descriptor.read(layer)
        try:
            yield from files_of(remote_blob(self._repository(reference), descriptor))
        except DAMAGE as error:
            raise unusable(reference, f"the layer {descriptor.digest} cannot be unpacked: {error}") from error

    def _repository(self, reference: str) -> Repository:
        parsed = parse_reference(reference)
        with self._lock:
            if parsed.name not in self._opened:
                self._opened[parsed.name] = Repository(parsed, patience=self._patience)
            return self._opened[parsed.name]
