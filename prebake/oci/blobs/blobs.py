"""Descriptors, and blobs with their content (OCI image specification, descriptor.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prebake.documents.canonical import canonical_json
from prebake.oci.blobs.content import BytesContent, Content

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ZSTD = f"{LAYER}+zstd"
GZIP = f"{LAYER}+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Descriptor:
    """OCI's content descriptor: ``digest`` is ``sha256:…``, ``size`` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**document, "annotations": dict(self.annotations)} if self.annotations else document

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Descriptor:
        annotations = document.get("annotations") or {}
        return cls(document["mediaType"], document["digest"], document["size"], annotations)


@dataclass(frozen=True)
class Blob:
    """``content`` is None if this machine does not have the bytes; only a receiver that lacks the blob needs them."""

    descriptor: Descriptor
    content: Content | None = None

    @property
    def digest(self) -> str:
        return self.descriptor.digest

    @property
    def size(self) -> int:
        return self.descriptor.size


@dataclass(frozen=True)
class Image:
    """A manifest with its config and layers: all that a registry, a layout or an Engine needs of an image."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Layers and config, each once: a registry must have them before the manifest."""
        return tuple({blob.digest: blob for blob in (*self.layers, self.config)}.values())


def sha256_digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def data_blob(media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Blob:
    descriptor = Descriptor(media_type, sha256_digest(data), len(data), annotations or {})
    return Blob(descriptor, BytesContent(data))


def document_blob(media_type: str, document: Mapping[str, Any]) -> Blob:
    """A blob of canonical JSON."""
    return data_blob(media_type, canonical_json(document))


def make_image(config: Blob, layers: Sequence[Blob], annotations: Mapping[str, str] | None = None) -> Image:
    """The image of a config and its layers, with the manifest that names them (OCI image specification, manifest.md)."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor.document(),
        "layers": [layer.descriptor.document() for layer in layers],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return Image(document_blob(MANIFEST, manifest), config, tuple(layers))


def read_all(blob: Blob) -> bytes:
    """A small blob's bytes. Raises ValueError if the blob has no content."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} has no content")
    return b"".join(bytes(chunk) for chunk in blob.content.chunks())
