"""Artifacts at registries, by the references of what they hold: their manifests, and what their layers are made of."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from prebake.oci.blobs import Descriptor
from prebake.oci.download import remote_blob
from prebake.oci.errors import unusable
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.oci.unpacked import BEGINNING, DAMAGE, begins_as_tar, files_of
from prebake.patience import Patience
from prebake.process import Narrator, narrate


class RegistryArtifacts:
    """Every registry, each repository opened once. Raises what Repository does, and ReferenceInvalid."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience
        self._opened: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            opened, self._opened = self._opened, {}
        for repository in opened.values():
            repository.close()

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
        found = self._repository(reference).get_manifest(digest or parse_reference(reference).target)
        if found is None:
            return None
        try:
            document = json.loads(found[1])
        except ValueError as error:
            raise unusable(reference, f"its manifest is not JSON ({error})") from error
        return found[0].digest, document if isinstance(document, dict) else {}

    def blob(self, reference: str, layer: Mapping[str, Any], offset: int, say: Narrator) -> Iterator[memoryview]:
        return self._repository(reference).telling(say).open_blob(layer["digest"], layer["size"], offset)

    def is_tar(self, reference: str, layer: Mapping[str, Any], say: Narrator) -> bool:
        found = b""
        with closing(cast(Generator[memoryview, None, None], self.blob(reference, layer, 0, say))) as chunks:
            for chunk in chunks:
                found += bytes(chunk[: BEGINNING - len(found)])
                if len(found) == BEGINNING:
                    break
        return begins_as_tar(found)

    def files(self, reference: str, layer: Mapping[str, Any], say: Narrator) -> Iterator[tuple[str, int, IO[bytes]]]:
        descriptor = Descriptor.read(layer)
        packed = _Packed(reference, descriptor.digest)
        with packed.named_damage():
            for path, size, stream in files_of(remote_blob(self._repository(reference).telling(say), descriptor)):
                yield path, size, cast(IO[bytes], _Member(stream, packed))

    def _repository(self, reference: str) -> Repository:
        parsed = parse_reference(reference)
        with self._lock:
            if parsed.name not in self._opened:
                self._opened[parsed.name] = Repository(parsed, patience=self._patience, say=narrate)
            return self._opened[parsed.name]


@dataclass(frozen=True)
class _Packed:
    """A layer that is unpacked: what its damage is told of."""

    reference: str
    digest: str

    @contextmanager
    def named_damage(self) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            raise unusable(self.reference, f"the layer {self.digest} cannot be unpacked: {error}") from error


class _Member(io.RawIOBase):
    """A file of a layer; who reads it is told of damage as who asks for the next one is."""

    def __init__(self, stream: IO[bytes], packed: _Packed) -> None:
        self._stream = stream
        self._packed = packed

    def read(self, size: int = -1, /) -> bytes:
        with self._packed.named_damage():
            return self._stream.read(size)
