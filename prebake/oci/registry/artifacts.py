"""OCI artifacts at registries, by reference: their manifests, and the files of their layers."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from prebake.io.log import Log, log_to_stderr
from prebake.io.retry import RetryPolicy
from prebake.oci.blobs.blobs import Descriptor
from prebake.oci.errors import unusable
from prebake.oci.layers.layer_reader import PROBE_BYTES, UNPACK_ERRORS, is_tar_start, read_files
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob


class RegistryArtifacts:
    """Repositories of any registry, each opened once. Raises what Repository raises, and ReferenceInvalid."""

    def __init__(self, retry_policy: RetryPolicy | None = None) -> None:
        self._retry_policy = retry_policy
        self._opened: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            opened, self._opened = self._opened, {}
        for repository in opened.values():
            repository.close()

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
        manifest = self._repository(reference).get_manifest(digest or parse_reference(reference).target)
        if manifest is None:
            return None
        try:
            document = json.loads(manifest[1])
        except ValueError as error:
            raise unusable(reference, f"its manifest is not JSON ({error})") from error
        return manifest[0].digest, document if isinstance(document, dict) else {}

    def blob(self, reference: str, layer: Mapping[str, Any], offset: int, log: Log) -> Iterator[memoryview]:
        return self._repository(reference).with_log(log).open_blob(layer["digest"], layer["size"], offset)

    def is_tar(self, reference: str, layer: Mapping[str, Any], log: Log) -> bool:
        start = b""
        with closing(cast(Generator[memoryview, None, None], self.blob(reference, layer, 0, log))) as chunks:
            for chunk in chunks:
                start += bytes(chunk[: PROBE_BYTES - len(start)])
                if len(start) == PROBE_BYTES:
                    break
        return is_tar_start(start)

    def files(self, reference: str, layer: Mapping[str, Any], log: Log) -> Iterator[tuple[str, int, IO[bytes]]]:
        descriptor = Descriptor.read(layer)
        layer_bytes = _PackedLayer(reference, descriptor.digest)
        with layer_bytes.translate_damage():
            for path, size, stream in read_files(remote_blob(self._repository(reference).with_log(log), descriptor)):
                yield path, size, cast(IO[bytes], _Member(stream, layer_bytes))

    def _repository(self, reference: str) -> Repository:
        parsed = parse_reference(reference)
        with self._lock:
            if parsed.name not in self._opened:
                self._opened[parsed.name] = Repository(parsed, retry_policy=self._retry_policy, log=log_to_stderr)
            return self._opened[parsed.name]


@dataclass(frozen=True)
class _PackedLayer:
    """The layer that errors of unpacking name."""

    reference: str
    digest: str

    @contextmanager
    def translate_damage(self) -> Iterator[None]:
        try:
            yield
        except UNPACK_ERRORS as error:
            raise unusable(self.reference, f"the layer {self.digest} cannot be unpacked: {error}") from error


class _Member(io.RawIOBase):
    """A file of a layer. Reading it raises the same error for damage as reading the next file."""

    def __init__(self, stream: IO[bytes], packed: _PackedLayer) -> None:
        self._stream = stream
        self._packed = packed

    def read(self, size: int = -1, /) -> bytes:
        with self._packed.translate_damage():
            return self._stream.read(size)
