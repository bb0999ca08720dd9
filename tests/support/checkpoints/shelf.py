"""A shelf of OCI artifacts: a repository of a real registry, and what is pushed there and asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.source import Sources
from prebake.checkpoints.sources.oci_artifact import OciArtifact
from prebake.checkpoints.store.store import Store
from prebake.io.retry import RetryPolicy
from prebake.oci.blobs.blobs import EMPTY, MANIFEST, ZSTD, Blob, data_blob, document_blob, read_all
from prebake.oci.registry.artifacts import RegistryArtifacts
from prebake.oci.registry.repository import Repository
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromOci
from prebake.spec.lock import LockedFile
from tests.support.checkpoints.parts import Diary, named, some_bytes
from tests.support.registries.oci_images import tar_layer
from tests.support.registry_servers.front import Front

WEIGHTS = some_bytes(2_500_000)
CONFIG = b'{"hidden_size": 4}\n'
RAW = "application/vnd.cncf.model.weight.v1.raw"
FILEPATH = "org.cncf.model.filepath"
QUICK = RetryPolicy(attempts=3, initial_delay=0.01, max_delay=0.02, connect=20.0, read=20.0)


@dataclass(frozen=True)
class Shelf:
    """A repository of a real registry, and a front before it by which sources reach it."""

    front: Front
    repository: Repository

    @property
    def name(self) -> str:
        return f"{self.front.address}/models/m"

    def push(self, tag: str, layers: Sequence[Blob]) -> str:
        """An artifact of ModelPack's; its digest."""
        config = data_blob(EMPTY, b"{}")
        for blob in (config, *layers):
            self.repository.push(blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.cncf.model.manifest.v1+json",
            "config": config.descriptor.document(),
            "layers": [layer.descriptor.document() for layer in layers],
        }
        return self.repository.put_manifest(tag, MANIFEST, read_all(document_blob(MANIFEST, manifest)))

    def blob_ranges(self, digest: str) -> list[str | None]:
        return [seen.headers.get("range") for seen in self.front.requests("GET", f"blobs/{digest}")]


def sources() -> Sources:
    return {"oci": OciArtifact(RegistryArtifacts(QUICK))}


def checkpoint(reference: str, *files: str) -> Checkpoint:
    names = files or ("te/model.safetensors", "te/config.json")
    spec = named(FromOci, "oci", reference=reference, files=names, ship=names[:1])
    return Checkpoint(license=License(id="MIT"), sources=(spec,))


def lock(store: Store, asked: Checkpoint) -> tuple[LockedFile, ...]:
    return resolve(asked, store, sources(), Diary()).files


def raw_layers() -> list[Blob]:
    return [
        data_blob(RAW, WEIGHTS, {FILEPATH: "te/model.safetensors"}),
        data_blob("application/vnd.cncf.model.weight.config.v1.raw", CONFIG, {FILEPATH: "te/config.json"}),
    ]


def weights_image(*, packed: bool) -> list[Blob]:
    """Two layers, of which the upper one covers a file of the lower."""
    lower = tar_layer({"models/te/config.json": b"old", "models/te/model.safetensors": WEIGHTS})
    upper = tar_layer({"models/te/config.json": CONFIG, "models/other": b"x"})
    layers = [lower, upper]
    return [data_blob(ZSTD, zstandard.compress(read_all(layer))) for layer in layers] if packed else layers
