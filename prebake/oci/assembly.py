"""A base and layers put together: the config and the manifest that name them (OCI image specification)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prebake.oci.blobs import CONFIG, MANIFEST, Blob, Image, document_blob

EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Layer:
    """A layer as a manifest and a config name it; ``diff`` is the digest of its plain tar, ``unpacked`` the bytes of its
    files."""

    blob: Blob
    diff: str
    created_by: str
    unpacked: int = 0


@dataclass(frozen=True)
class BaseImage:
    """What is built upon: its config document and its layers."""

    config: Mapping[str, Any]
    layers: tuple[Layer, ...]


def assemble(
    base: BaseImage,
    layers: Sequence[Layer],
    configure: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    annotations: Mapping[str, str],
    created: str = EPOCH,
) -> Image:
    """``configure`` turns the base's ``config`` into the image's; ``created`` is RFC 3339. The same parts give the same
    digest, whenever."""
    every = (*base.layers, *layers)
    config = {
        "architecture": base.config["architecture"],
        "os": base.config["os"],
        **{key: base.config[key] for key in ("variant", "os.version") if key in base.config},
        "created": created,
        "config": configure(base.config.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff for layer in every]},
        "history": [
            *({"created": EPOCH, "created_by": layer.created_by} for layer in base.layers),
            *({"created": created, "created_by": layer.created_by} for layer in layers),
        ],
    }
    blob = document_blob(CONFIG, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob.descriptor.document(),
        "layers": [layer.blob.descriptor.document() for layer in every],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return Image(document_blob(MANIFEST, manifest), blob, tuple(layer.blob for layer in every))
