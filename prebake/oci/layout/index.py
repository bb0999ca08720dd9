"""``index.json``, which names the images of a layout (OCI image specification, image-index.md and annotations.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prebake.documents.canonical import canonical_json
from prebake.errors import PrebakeError
from prebake.oci.blobs.blobs import CONFIG, INDEX, Blob, Image
from prebake.oci.reference import parse_reference

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
MARKER = b'{"imageLayoutVersion":"1.0.0"}\n'
"""The bytes of the file ``oci-layout``."""

_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class LayoutError(PrebakeError):
    """The ``index.json`` of an OCI layout cannot be read, or a blob is neither in the layout nor on this machine."""

    exit_code = 37


def full_name(reference: str) -> str:
    """``docker.io/prebake/foley:cpu`` for ``prebake/foley:cpu``, the only form that containerd accepts. Raises
    ReferenceInvalid."""
    parsed = parse_reference(reference)
    return f"{parsed.name}:{parsed.tag or 'latest'}"


def describe_image(image: Image, config: bytes, reference: str) -> dict[str, Any]:
    """The image's descriptor with its tag, by which tools find it in a layout, and its full name, by which Engines do."""
    name = full_name(reference)
    annotations = {**image.manifest.descriptor.annotations, REF_NAME: name.rpartition(":")[2], IMAGE_NAME: name}
    platform = _platform(image.config, config)
    document = {**image.manifest.descriptor.document(), "annotations": annotations}
    return {**document, "platform": platform} if platform else document


def add_to_index(entry: Mapping[str, Any], older: Mapping[str, Any] | None = None) -> bytes:
    """The index with one more image, which replaces an older one with the same tag."""
    tag = entry["annotations"][REF_NAME]
    kept = [other for other in (older or {}).get("manifests") or [] if _tag(other) != tag]
    document = {"schemaVersion": 2, "mediaType": INDEX, **(older or {}), "manifests": [*kept, entry]}
    return canonical_json(document)


def require_contents(blobs: list[Blob], *, where: str) -> None:
    """Raises LayoutError with every blob that has no content."""
    absent = [blob.digest for blob in blobs if blob.content is None]
    if absent:
        raise LayoutError(
            "\n  ".join([f"{where} lacks blobs, and this machine has no copy of them:", *absent]),
            next_action="build or fetch them first, or write into a layout that has them",
        )


def _tag(descriptor: Mapping[str, Any]) -> str | None:
    return (descriptor.get("annotations") or {}).get(REF_NAME)


def _platform(config: Blob, data: bytes) -> dict[str, Any]:
    """The platform by the image's config; none for an artifact."""
    if config.descriptor.media_type != CONFIG:
        return {}
    document = json.loads(data)
    return {key: document[key] for key in _PLATFORM if document.get(key)}
