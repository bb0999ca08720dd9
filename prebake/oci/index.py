"""``index.json``: what names the images of a layout (OCI image specification, image-index.md and annotations.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prebake.errors import PrebakeError
from prebake.oci.blobs import CONFIG, INDEX, Blob, Image
from prebake.oci.reference import parse_reference

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
MARKER = b'{"imageLayoutVersion":"1.0.0"}\n'
"""The bytes of the file ``oci-layout``."""

_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class LayoutError(PrebakeError):
    """A layout cannot be written: a blob that it lacks is not here, or the folder's index is none."""

    exit_code = 37


def full_name(reference: str) -> str:
    """``docker.io/prebake/foley:cpu`` of ``prebake/foley:cpu``: containerd takes no other form. Raises
    ReferenceInvalid."""
    named = parse_reference(reference)
    return f"{named.name}:{named.tag or 'latest'}"


def entry(image: Image, config: bytes, reference: str) -> dict[str, Any]:
    """The image's descriptor: by its tag for readers of layouts, by its whole name for Engines."""
    name = full_name(reference)
    annotations = {**image.manifest.descriptor.annotations, REF_NAME: name.rpartition(":")[2], IMAGE_NAME: name}
    platform = _platform(image.config, config)
    found = {**image.manifest.descriptor.document(), "annotations": annotations}
    return {**found, "platform": platform} if platform else found


def index_of(entry: Mapping[str, Any], older: Mapping[str, Any] | None = None) -> bytes:
    """The index with one more image, in the place of an older one of the same tag."""
    tag = entry["annotations"][REF_NAME]
    kept = [each for each in (older or {}).get("manifests") or [] if _tag(each) != tag]
    document = {"schemaVersion": 2, "mediaType": INDEX, **(older or {}), "manifests": [*kept, entry]}
    return canonical(document)


def canonical(document: object) -> bytes:
    return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()


def require_contents(blobs: list[Blob], *, where: str) -> None:
    """Raises LayoutError that names every blob whose bytes are not here."""
    absent = [blob.digest for blob in blobs if blob.content is None]
    if absent:
        raise LayoutError(
            "\n  ".join([f"{where} lacks blobs whose bytes are not on this machine:", *absent]),
            next_action="have them made or fetched first, or write into a layout that holds them already",
        )


def _tag(descriptor: Mapping[str, Any]) -> str | None:
    return (descriptor.get("annotations") or {}).get(REF_NAME)


def _platform(config: Blob, data: bytes) -> dict[str, Any]:
    """What the image's config says of it; an artifact's says nothing."""
    if config.descriptor.media_type != CONFIG:
        return {}
    document = json.loads(data)
    return {key: document[key] for key in _PLATFORM if document.get(key)}
