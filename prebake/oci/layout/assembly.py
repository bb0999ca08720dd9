"""An image assembled from a base and layers: its config and its manifest (OCI image specification)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prebake.oci.blobs.blobs import CONFIG, Blob, Image, document_blob, make_image

EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class ImageLayer:
    """A layer of a manifest and a config. ``diff_id`` is the digest of its uncompressed tar, ``unpacked`` the bytes of its
    files."""

    blob: Blob
    diff_id: str
    created_by: str
    unpacked: int = 0


@dataclass(frozen=True)
class BaseImage:
    """The image that another is based on: its config document and its layers."""

    config: Mapping[str, Any]
    layers: tuple[ImageLayer, ...]


def assemble(
    base: BaseImage,
    layers: Sequence[ImageLayer],
    configure: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    annotations: Mapping[str, str],
    created: str = EPOCH,
) -> Image:
    """``configure`` makes the image's ``config`` from the base's; ``created`` is RFC 3339. The same input gives the same
    digest."""
    all_layers = (*base.layers, *layers)
    config = {
        "architecture": base.config["architecture"],
        "os": base.config["os"],
        **{key: base.config[key] for key in ("variant", "os.version") if key in base.config},
        "created": created,
        "config": configure(base.config.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in all_layers]},
        "history": [
            *({"created": EPOCH, "created_by": layer.created_by} for layer in base.layers),
            *({"created": created, "created_by": layer.created_by} for layer in layers),
        ],
    }
    return make_image(document_blob(CONFIG, config), [layer.blob for layer in all_layers], annotations)
