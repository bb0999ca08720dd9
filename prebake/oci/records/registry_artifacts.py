"""Compiled artifacts that builders share at a registry: each has a tag that begins with the lookup key of its graph.

The registry's tags are the list of artifacts (distribution specification, "Listing Tags"): a list of our own could be overwritten
by two machines. The manifest's config is the artifact's description, its one layer that of an image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.blobs import MANIFEST, Blob, Descriptor, data_blob, document_blob, read_all
from prebake.oci.errors import unusable
from prebake.oci.records.layer_records import LayerRecord
from prebake.oci.records.registry_records import describe_layer, read_layer
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.oci.transfer.upload import ignore_progress

ARTIFACT = "application/vnd.prebake.compiled.v1+json"
DESCRIPTION = "application/vnd.prebake.compiled.description.v1+json"
_PAGE_TAGS = 1000
_MAX_TAG_LIST_BYTES = 4 << 20
_MAX_DESCRIPTION_BYTES = 4 << 20


@dataclass(frozen=True)
class SharedArtifact:
    """``description`` are the bytes of its ``artifact.json``; ``layer`` is its layer in an image."""

    description: bytes
    layer: LayerRecord


def publish_artifact(
    repository: Repository,
    lookup: str,
    key: str,
    description: bytes,
    layer: LayerRecord,
    blob: Blob,
    on_progress: Callable[[int], None] = ignore_progress,
) -> str:
    """Push an artifact, except for blobs and a manifest that the repository has. Returns the tag. ``on_progress`` is called
    with the bytes of ``blob`` that were sent."""
    repository.push(blob, on_progress=on_progress)
    config = data_blob(DESCRIPTION, description)
    repository.push(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": config.descriptor.document(),
        "layers": [describe_layer(layer)],
    }
    target, blob = artifact_tag(lookup, key), document_blob(MANIFEST, manifest)
    if repository.resolve(target) != blob.digest:
        repository.put_manifest(target, MANIFEST, read_all(blob))
    return target


def find_artifacts(repository: Repository, lookup: str) -> Iterator[SharedArtifact]:
    """Every artifact with this lookup key, in the order of the tags.

    Raises ChecksumMismatch or RegistryError if one does not match its digest or its size.
    """
    for tag in sorted(_tags(repository, artifact_tag(lookup, ""))):
        if (artifact := _read(repository, tag)) is not None:
            yield artifact


def artifact_tag(lookup: str, key: str) -> str:
    """The tag of an artifact: at most 128 characters, with 160 bits of both keys."""
    return f"prebake-{lookup[:40]}-{key[:40]}"


def _read(repository: Repository, tag: str) -> SharedArtifact | None:
    """None if the tag names something else."""
    manifest = repository.get_manifest(tag)
    try:
        document = json.loads(manifest[1]) if manifest else {}
        if not isinstance(document, dict) or document.get("artifactType") != ARTIFACT:
            return None
        config, layer = Descriptor.read(document["config"]), read_layer(document["layers"][0])
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise unusable(repository.reference.host, f"{tag}: its manifest cannot be read: {error!r}") from None
    if config.size > _MAX_DESCRIPTION_BYTES:
        raise unusable(repository.reference.host, f"{tag}: its description has {config.size} bytes")
    description = read_all(remote_blob(repository, config))
    size = repository.size_of(layer.digest)
    if size is not None and size != layer.size:
        raise ChecksumMismatch(
            f"{repository.reference.name}: the layer {layer.digest} of {tag} has {size} bytes instead of {layer.size}.",
            next_action="run `prebake compile --push` again on the machine that compiled it",
        )
    return SharedArtifact(description, layer)


def _tags(repository: Repository, prefix: str) -> Iterator[str]:
    """The tags that begin with ``prefix``. Tags are listed in lexical order, so that those before the prefix are skipped."""
    last = prefix[:-1]
    while True:
        response = repository.read(f"tags/list?n={_PAGE_TAGS}&last={last}", (200, 404), _MAX_TAG_LIST_BYTES)
        tags = [str(tag) for tag in (json.loads(response.body).get("tags") or [])] if response.status == 200 else []
        yield from (tag for tag in tags if tag.startswith(prefix))
        if "Link" not in response.headers or not tags or (max(tags) > prefix and not max(tags).startswith(prefix)):
            return
        last = tags[-1]
