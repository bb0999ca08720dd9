"""Records where builders share them: beside the image, as small artifacts under a tag that follows from the key.

They name the layers, so a registry's garbage collection keeps what a later build will want (OCI image specification,
"Guidelines for Artifact Usage").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.oci.blobs import EMPTY, MANIFEST, Descriptor, data_blob, document_blob, read_all
from prebake.oci.records import LayerRecord
from prebake.oci.registry import Repository

ARTIFACT = "application/vnd.prebake.layers.v1+json"
_DIFF, _UNPACKED, _REASON = (f"dev.prebake.{name}" for name in ("diff-id", "unpacked", "reason"))


def publish(repository: Repository, key: str, layers: Sequence[LayerRecord]) -> None:
    """Have a repository remember what a key became; the layers must be there. One that knows it already is not written."""
    target = tag_of(key)
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
    """What a repository remembers; None where it does not, or holds something else under that tag."""
    found = repository.get_manifest(tag_of(key))
    if found is None:
        return None
    try:
        document = json.loads(found[1])
        return tuple(read_layer(each) for each in document["layers"]) if document["artifactType"] == ARTIFACT else None
    except (ValueError, KeyError, TypeError):
        return None


def tag_of(key: str) -> str:
    return f"prebake-{key}"


def describe_layer(layer: LayerRecord) -> dict[str, Any]:
    annotations = {_DIFF: layer.diff, _UNPACKED: str(layer.unpacked), _REASON: layer.reason}
    return Descriptor(layer.media_type, layer.digest, layer.size, annotations).document()


def read_layer(document: Mapping[str, Any]) -> LayerRecord:
    found = Descriptor.read(document)
    notes = found.annotations
    return LayerRecord(notes[_DIFF], found.media_type, found.digest, found.size, notes[_REASON], int(notes[_UNPACKED]))
