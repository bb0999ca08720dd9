"""Referrers of a manifest, such as signatures and bills of materials (distribution specification 1.1, "Listing Referrers")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from prebake.oci.blobs.blobs import INDEX, Blob, Descriptor, document_blob, read_all
from prebake.oci.errors import unusable
from prebake.oci.registry.repository import Repository

_MAX_INDEX_BYTES = 4 << 20
_STATUSES = (200, 400, 404, 405, 406, 501)  # registries without the API answer one of the others
_MAX_WRITES = 5  # of the index that clients keep under a tag at registries without the API


@dataclass(frozen=True)
class Referrer:
    """A manifest with a ``subject``, in the list of that subject's referrers."""

    descriptor: Descriptor
    artifact_type: str = ""

    def document(self) -> dict[str, Any]:
        document = self.descriptor.document()
        return {**document, "artifactType": self.artifact_type} if self.artifact_type else document


def list_referrers(repository: Repository, digest: str) -> list[Referrer]:
    """The referrers of a manifest by the registry's API, or by the index that clients keep under a tag if there is no API."""
    response = repository.read(f"referrers/{digest}", _STATUSES, _MAX_INDEX_BYTES)
    if response.status != 200:
        return _read_tag_index(repository, digest)
    referrers = _read_index(repository, response.body)
    while (next_page := _next_page(response.headers.get("Link", ""))) is not None:
        response = repository.read(str(httpx.URL(response.url).join(next_page)), (200,), _MAX_INDEX_BYTES)
        referrers += _read_index(repository, response.body)
    return referrers


def put_referrer(repository: Repository, manifest: Blob) -> str:
    """Push a manifest with a ``subject``, after its blobs. Returns its digest.

    Raises RegistryError if other clients keep overwriting the index of a registry without the API.
    """
    data = read_all(manifest)
    subject = json.loads(data)["subject"]["digest"]
    response = repository.store_manifest(manifest.digest, manifest.descriptor.media_type, data)
    if "OCI-Subject" not in response.headers:
        _add_under_tag(repository, subject, _as_referrer(manifest.descriptor, json.loads(data)))
    return manifest.digest


def _as_referrer(descriptor: Descriptor, document: dict[str, Any]) -> Referrer:
    """If the manifest names no artifact type, it is the config's media type."""
    kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
    annotations = document.get("annotations") or {}
    return Referrer(Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations), kind)


def _add_under_tag(repository: Repository, subject: str, referrer: Referrer) -> None:
    """Read the index again after each write, since two writers may have read the same one."""
    for _ in range(_MAX_WRITES):
        known = _read_tag_index(repository, subject)
        if any(other.descriptor.digest == referrer.descriptor.digest for other in known):
            return
        index = document_blob(
            INDEX,
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [other.document() for other in (*known, referrer)],
            },
        )
        repository.put_manifest(_referrers_tag(subject), INDEX, read_all(index))
    raise unusable(repository.reference.host, f"other clients keep overwriting {_referrers_tag(subject)}")


def _read_tag_index(repository: Repository, digest: str) -> list[Referrer]:
    manifest = repository.get_manifest(_referrers_tag(digest))
    return [] if manifest is None else _read_index(repository, manifest[1])


def _referrers_tag(digest: str) -> str:
    """The specification's "Referrers Tag Schema"."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def _read_index(repository: Repository, data: bytes) -> list[Referrer]:
    try:
        return list(_entries(json.loads(data)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise unusable(repository.reference.host, "its list of referrers is not an image index") from None


def _entries(index: dict[str, Any]) -> Iterator[Referrer]:
    for entry in index.get("manifests") or []:
        yield Referrer(Descriptor.read(entry), entry.get("artifactType", ""))


def _next_page(link: str) -> str | None:
    """The target of a ``Link`` header (RFC 8288), if it is the next page."""
    target, closed, parameters = link.partition(">")
    return target.lstrip()[1:] if closed and "next" in parameters else None
