"""Documents about an image at its registry: SBOM, provenance, and the OpenAPI document of its server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prebake.docker.images.base_image import Base
from prebake.errors import PrebakeError
from prebake.io.log import Log
from prebake.oci.attestations.installed_packages import installed_packages, read_installed
from prebake.oci.attestations.package import Package
from prebake.oci.attestations.provenance import IN_TOTO, AttestedImage, Run, provenance
from prebake.oci.attestations.sbom import CYCLONEDX, BakedFile, bill_of_materials
from prebake.oci.blobs.blobs import EMPTY, MANIFEST, Blob, Descriptor, Image, data_blob, document_blob, read_all
from prebake.oci.errors import DigestDisputed, RegistryDenied, RegistryError, RegistryUnreachable
from prebake.oci.layers.compression import Compression
from prebake.oci.layers.layer_reader import read_layer
from prebake.oci.registry.referrers import list_referrers, put_referrer
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import Blobs, RemoteContent, remote_blob
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.values import Plan
from prebake.spec.lock import LockedBase
from prebake.workflow.delivery.outputs import Delivery
from prebake.workflow.layers.remote_image import MODELS_MANIFEST

OPENAPI = "application/vnd.oai.openapi+json"
"""The media type of an OpenAPI document (IANA's registry of media types)."""


@dataclass(frozen=True)
class AttestedBuild:
    """The inputs of an image's attestations.

    ``baked`` is the image with /models: ``image`` itself, or the weights image if weights are a volume. ``requirements`` is
    the target's lock of packages, ``builder`` the URI of the builder, ``run`` the CI run. ``api`` is the OpenAPI document of the
    image's server, empty if the image was not started.
    """

    plan: Plan
    image: Image
    baked: Image
    base: Base
    requirements: str
    compression: Compression
    builder: str
    run: Run = field(default_factory=Run)
    api: Mapping[str, Any] = field(default_factory=dict)


def attestations(repository: Repository, built: AttestedBuild) -> Mapping[str, Callable[[], str]]:
    """Functions that write and attach each document of an image that the repository has. Each returns the digest of the
    document's manifest, and raises what ``attach`` raises."""
    made, image = (
        AttestedImage(built.plan, built.image.digest, base_of(built.plan, built.base)),
        built.image.manifest.descriptor,
    )

    def bill() -> str:
        sbom = bill_of_materials(made, packages_of(repository, built), baked_files(repository, built.baked))
        return attach(repository, image, CYCLONEDX, sbom)

    def proof() -> str:
        return attach(repository, image, IN_TOTO, provenance(made, built.compression, built.builder, built.run))

    def api() -> str:
        return attach(repository, image, OPENAPI, built.api)

    return {SBOM: bill, PROVENANCE: proof, **({API: api} if built.api else {})}


def attach(repository: Repository, image: Descriptor, kind: str, document: Mapping[str, Any]) -> str:
    """Push a document as an artifact whose ``subject`` is the image, unless the registry has it.

    Returns the digest of its manifest. Raises what ``put_referrer`` raises.
    """
    known = {referrer.descriptor.digest for referrer in list_referrers(repository, image.digest)}
    return _attach(repository, image, document_blob(kind, document), known)


def base_of(plan: Plan, base: Base) -> LockedBase:
    """The base image that was used: the pinned one, or the one that replaced it."""
    pinned = f"{plan.base.reference}@{plan.base.digest}"
    return plan.base if base.reference == pinned else LockedBase(base.reference.partition("@")[0], base.digest)


def baked_files(blobs: Blobs, image: Image) -> list[BakedFile]:
    """The files that the build made, from the image's own manifest, which is in one of the topmost layers."""
    for layer in reversed(image.layers):
        here = _readable(blobs, layer)
        if (manifest := read_layer(here, (), MODELS_MANIFEST).kept) is not None:
            files = json.loads(manifest)["files"].items()
            baked = [BakedFile(path, file["sha256"], file["size"], file["origin"]) for path, file in files]
            return [file for file in baked if file.origin != "published"]
    return []


def packages_of(blobs: Blobs, built: AttestedBuild) -> list[Package]:
    """The packages installed in the image, read from its layers of the base and of dependencies."""
    config = json.loads(read_all(built.image.config))
    kinds = {f"prebake: {layer.name}": layer.kind for layer in built.plan.layers}
    names = [str(entry.get("created_by", "")) for entry in config["history"]]
    layers = [
        _readable(blobs, layer)
        for name, layer in zip(names, built.image.layers, strict=True)
        if kinds.get(name, LayerKind.DEPENDENCIES) is LayerKind.DEPENDENCIES
    ]
    return installed_packages(read_installed(layers), config["config"].get("Env") or [], built.requirements)


def _readable(blobs: Blobs, layer: Blob) -> Blob:
    """The layer on this machine, or at the repository that has the image: another one may be a cache that has faults."""
    local = layer.content is not None and not isinstance(layer.content, RemoteContent)
    return layer if local else remote_blob(blobs, layer.descriptor)


def _attach(repository: Repository, image: Descriptor, document: Blob, known: set[str]) -> str:
    """The manifest follows the image specification, "Guidelines for Artifact Usage"."""
    config = data_blob(EMPTY, b"{}")
    manifest = document_blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": document.descriptor.media_type,
            "config": {**config.descriptor.document(), "data": "e30="},
            "layers": [document.descriptor.document()],
            "subject": Descriptor(image.media_type, image.digest, image.size).document(),
        },
    )
    if manifest.digest not in known:
        repository.push(config)
        repository.push(document)
        put_referrer(repository, manifest)
    return manifest.digest


RECORDS, SBOM, PROVENANCE, API = "records of layers", "bill of materials", "provenance", "OpenAPI document"
"""The names of attached documents in reports."""

_REFUSALS = (RegistryError, RegistryDenied, RegistryUnreachable, DigestDisputed)


class AttestationRefused(PrebakeError):
    """A registry took the image but not all of its attestations, and ``--require-attestations`` was given. The
    message lists each one with the registry's reason."""

    exit_code = 64


def attach_all(name: str, puts: Mapping[str, Callable[[], object]], log: Log) -> dict[str, str]:
    """Attach each document; log and return those that the registry ``name`` refused, with the reason."""
    refused: dict[str, str] = {}
    for what, put in puts.items():
        try:
            put()
        except _REFUSALS as error:
            refused[what] = error.message
            log(f"push: {name} accepted the image, but refused its {what}: {error.message}")
    return refused


def require_attached(delivered: Mapping[str, Delivery]) -> None:
    """Raises AttestationRefused with every document that a registry refused."""
    lines = [f"{name}: {what}: {why}" for name, delivery in delivered.items() for what, why in delivery.refused.items()]
    if lines:
        raise AttestationRefused(
            "\n  ".join(["The image was pushed, but a registry refused attestations of it:", *lines]),
            next_action="push to a registry that accepts OCI artifacts and referrers, or build without --require-attestations",
        )
