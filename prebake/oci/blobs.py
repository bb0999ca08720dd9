"""What manifests point to: descriptors, and blobs with their bytes at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prebake.oci.content import Content, Data

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
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**found, "annotations": dict(self.annotations)} if self.annotations else found

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Descriptor:
        annotations = document.get("annotations") or {}
        return cls(document["mediaType"], document["digest"], document["size"], annotations)


@dataclass(frozen=True)
class Blob:
    """``content`` is None where the bytes are not here, and needed only by who has none of them."""

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
    """A manifest with its config and layers: all that a registry, a layout or an Engine needs to hold it."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Layers and config, each once: what has to be there before the manifest."""
        return tuple({blob.digest: blob for blob in (*self.layers, self.config)}.values())


def sha256_digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def data_blob(media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Blob:
    descriptor = Descriptor(media_type, sha256_digest(data), len(data), annotations or {})
    return Blob(descriptor, Data(data))


def document_blob(media_type: str, document: Mapping[str, Any]) -> Blob:
    """A JSON document in its canonical form."""
    return data_blob(media_type, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def read_all(blob: Blob) -> bytes:
    """A small blob's bytes. Raises ValueError where they are not here."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} is not here")
    return b"".join(bytes(chunk) for chunk in blob.content.chunks())
