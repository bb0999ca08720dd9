"""Compiled artifacts where builders share them: each under a tag of its own that begins with what it was compiled of.

No list is kept, as two machines would write over each other's: the registry's tags are the list (distribution
specification, "Listing Tags"). The manifest's config is the artifact's description, its one layer that of an image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs import MANIFEST, Blob, Descriptor, data_blob, document_blob, read_all
from prebake.oci.download import remote_blob
from prebake.oci.errors import unusable
from prebake.oci.records import LayerRecord
from prebake.oci.registry import Repository
from prebake.oci.shared_records import describe_layer, read_layer
from prebake.oci.upload import unwatched

ARTIFACT = "application/vnd.prebake.compiled.v1+json"
DESCRIPTION = "application/vnd.prebake.compiled.description.v1+json"
_PAGE = 1000
_LIMIT = 4 << 20
_LARGEST = 4 << 20  # bytes of a description


@dataclass(frozen=True)
class SharedArtifact:
    """``description`` are the bytes of its ``artifact.json``; ``layer`` is what an image holds of it."""

    description: bytes
    layer: LayerRecord


def publish_artifact(
    repository: Repository,
    lookup: str,
    key: str,
    description: bytes,
    layer: LayerRecord,
    blob: Blob,
    passed: Callable[[int], None] = unwatched,
) -> str:
    """Returns the tag. What is there already is not sent. ``passed`` is called with the bytes of ``blob`` on their way."""
    repository.push(blob, passed=passed)
    config = data_blob(DESCRIPTION, description)
    repository.push(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": config.descriptor.document(),
        "layers": [describe_layer(layer)],
    }
    target, whole = tag_of(lookup, key), document_blob(MANIFEST, manifest)
    if repository.resolve(target) != whole.digest:
        repository.put_manifest(target, MANIFEST, read_all(whole))
    return target


def find_artifacts(repository: Repository, lookup: str) -> Iterator[SharedArtifact]:
    """Every one that was compiled of the same, in the order of the tags.

    Raises ChecksumMismatch or RegistryError where one is not what its digest says, or has another size by now.
    """
    for tag in sorted(_tags(repository, tag_of(lookup, ""))):
        if (found := _read(repository, tag)) is not None:
            yield found


def tag_of(lookup: str, key: str) -> str:
    """At most 128 characters, of which both keys have 160 bits."""
    return f"prebake-{lookup[:40]}-{key[:40]}"


def _read(repository: Repository, tag: str) -> SharedArtifact | None:
    """None where the tag is something else."""
    manifest = repository.get_manifest(tag)
    document = json.loads(manifest[1]) if manifest else {}
    if not isinstance(document, dict) or document.get("artifactType") != ARTIFACT:
        return None
    config, layer = Descriptor.read(document["config"]), read_layer(document["layers"][0])
    if config.size > _LARGEST:
        raise unusable(repository.reference.host, f"{tag}: its description has {config.size} bytes")
    description = read_all(remote_blob(repository, config))
    size = repository.size_of(layer.digest)
    if size is not None and size != layer.size:
        raise ChecksumMismatch(
            f"{repository.reference.name}: the layer {layer.digest} of {tag} has {size} bytes, not {layer.size}.",
            next_action="run `prebake compile --push` again where it was compiled",
        )
    return SharedArtifact(description, layer)


def _tags(repository: Repository, prefix: str) -> Iterator[str]:
    """Those that begin with ``prefix``: tags come in lexical order, so that what is before them need not be read."""
    last = prefix[:-1]
    while True:
        answer = repository.read(f"tags/list?n={_PAGE}&last={last}", (200, 404), _LIMIT)
        found = [str(tag) for tag in (json.loads(answer.body).get("tags") or [])] if answer.status == 200 else []
        yield from (tag for tag in found if tag.startswith(prefix))
        if "Link" not in answer.headers or not found or (max(found) > prefix and not max(found).startswith(prefix)):
            return
        last = found[-1]
