"""Records that builders share at a registry: small artifacts in the image's repository, under a tag that contains the key.

They name the layers, so that a registry's garbage collection keeps these for later builds (OCI image specification,
"Guidelines for Artifact Usage").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.oci.blobs.blobs import EMPTY, MANIFEST, Descriptor, data_blob, document_blob, read_all
from prebake.oci.records.layer_records import LayerRecord
from prebake.oci.registry.repository import Repository

ARTIFACT = "application/vnd.prebake.layers.v1+json"
_DIFF, _UNPACKED, _REASON = (f"dev.prebake.{name}" for name in ("diff-id", "unpacked", "reason"))


def publish(repository: Repository, key: str, layers: Sequence[LayerRecord]) -> None:
    """Push a key's record, unless the repository has it. The layers must be there."""
    target = record_tag(key)
    if repository.resolve(target) is not None:
        return
    config = data_blob(EMPTY, b"{}")
    repository.push(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": config.descriptor.document(),
        "layers": [describe_layer(layer) for layer in layers],
    }
    repository.put_manifest(target, MANIFEST, read_all(document_blob(MANIFEST, manifest)))


def look_up(repository: Repository, key: str) -> tuple[LayerRecord, ...] | None:
    """The layers of a key by its record at the repository; None if there is none, or the tag names something else."""
    manifest = repository.get_manifest(record_tag(key))
    if manifest is None:
        return None
    try:
        document = json.loads(manifest[1])
        is_record = document["artifactType"] == ARTIFACT
        return tuple(read_layer(layer) for layer in document["layers"]) if is_record else None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def record_tag(key: str) -> str:
    """The tag of a key's record."""
    return f"prebake-{key}"


def describe_layer(layer: LayerRecord) -> dict[str, Any]:
    annotations = {_DIFF: layer.diff_id, _UNPACKED: str(layer.unpacked), _REASON: layer.reason}
    return Descriptor(layer.media_type, layer.digest, layer.size, annotations).document()


def read_layer(document: Mapping[str, Any]) -> LayerRecord:
    descriptor = Descriptor.read(document)
    return LayerRecord(
        diff_id=descriptor.annotations[_DIFF],
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        reason=descriptor.annotations[_REASON],
        unpacked=int(descriptor.annotations[_UNPACKED]),
    )
