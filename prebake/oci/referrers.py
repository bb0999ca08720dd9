"""What refers to a manifest: signatures, bills of materials (distribution specification 1.1, "Listing Referrers")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from prebake.oci.blobs import INDEX, Blob, Descriptor, document_blob, read_all
from prebake.oci.errors import unusable
from prebake.oci.registry import Repository

_LIMIT = 4 << 20
_ASKED = (200, 400, 404, 405, 406, 501)  # all but the first by registries without the API
_ROUNDS = 5  # of reading and writing the index that registries without the API keep under a tag


@dataclass(frozen=True)
class Referrer:
    """A manifest whose subject is the one that was asked about."""

    descriptor: Descriptor
    artifact_type: str = ""

    def document(self) -> dict[str, Any]:
        found = self.descriptor.document()
        return {**found, "artifactType": self.artifact_type} if self.artifact_type else found


def list_referrers(repository: Repository, digest: str) -> list[Referrer]:
    """By the registry's API, else by the index under the tag that the specification has clients keep instead."""
    answer = repository.read(f"referrers/{digest}", _ASKED, _LIMIT)
    if answer.status != 200:
        return _under_tag(repository, digest)
    found = _read_index(repository, answer.body)
    while (following := _next_page(answer.headers.get("Link", ""))) is not None:
        answer = repository.read(str(httpx.URL(answer.url).join(following)), (200,), _LIMIT)
        found += _read_index(repository, answer.body)
    return found


def put_referrer(repository: Repository, manifest: Blob) -> str:
    """A manifest that has a ``subject``, and whose blobs are there. Returns its digest.

    Raises RegistryError where others keep writing over the index of a registry without the API.
    """
    data = read_all(manifest)
    subject = json.loads(data)["subject"]["digest"]
    answer = repository.store_manifest(manifest.digest, manifest.descriptor.media_type, data)
    if "OCI-Subject" not in answer.headers:
        _add_under_tag(repository, subject, _as_referrer(manifest.descriptor, json.loads(data)))
    return manifest.digest


def _as_referrer(descriptor: Descriptor, document: dict[str, Any]) -> Referrer:
    """The artifact's type is the config's where the manifest names none."""
    kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
    annotations = document.get("annotations") or {}
    return Referrer(Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, annotations), kind)


def _add_under_tag(repository: Repository, subject: str, referrer: Referrer) -> None:
    """Read again after each write: nothing keeps two writers from reading the same index."""
    for _ in range(_ROUNDS):
        found = _under_tag(repository, subject)
        if any(each.descriptor.digest == referrer.descriptor.digest for each in found):
            return
        index = document_blob(
            INDEX,
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [each.document() for each in (*found, referrer)],
            },
        )
        repository.put_manifest(_tag_of(subject), INDEX, read_all(index))
    raise unusable(repository.reference.host, f"others keep writing over {_tag_of(subject)}")


def _under_tag(repository: Repository, digest: str) -> list[Referrer]:
    found = repository.get_manifest(_tag_of(digest))
    return [] if found is None else _read_index(repository, found[1])


def _tag_of(digest: str) -> str:
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
    """The target of a ``Link`` header (RFC 8288), where it is the next page."""
    target, closed, parameters = link.partition(">")
    return target.lstrip()[1:] if closed and "next" in parameters else None
