"""What goes beside an image at its registry: its bill of materials, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prebake.engine.base import Base
from prebake.oci.blobs import EMPTY, MANIFEST, Blob, Descriptor, Image, data_blob, document_blob, read_all
from prebake.oci.compression import Compression
from prebake.oci.download import Blobs, remote_blob
from prebake.oci.installed import installed_packages, read_installed
from prebake.oci.package import Package
from prebake.oci.provenance import IN_TOTO, Made, Run, provenance
from prebake.oci.referrers import list_referrers, put_referrer
from prebake.oci.registry import Repository
from prebake.oci.sbom import CYCLONEDX, BakedFile, bill_of_materials
from prebake.oci.unpacked import read_layer
from prebake.plan.values import Plan
from prebake.spec.lock import LockedBase
from prebake.workflow.beside import PROVENANCE, SBOM
from prebake.workflow.found_image import MODELS_MANIFEST


@dataclass(frozen=True)
class Built:
    """An image, and what its documents are made of. ``baked`` is the image that has what the build made for ``/models``,
    the same one but where weights are a volume; ``requirements`` is its target's lock of packages; ``builder`` the URI of
    who vouches for the build, ``run`` the run of the CI system that made it."""

    plan: Plan
    image: Image
    baked: Image
    base: Base
    requirements: str
    compression: Compression
    builder: str
    run: Run = field(default_factory=Run)


def attestations(repository: Repository, built: Built) -> Mapping[str, Callable[[], str]]:
    """What writes each document of an image that the repository has, and attaches it: it returns the digest of the
    document's manifest, and raises what ``attach`` raises."""
    made, image = Made(built.plan, built.image.digest, base_of(built.plan, built.base)), built.image.manifest.descriptor

    def bill() -> str:
        sbom = bill_of_materials(made, packages_of(repository, built), baked_files(repository, built.baked))
        return attach(repository, image, CYCLONEDX, sbom)

    def proof() -> str:
        return attach(repository, image, IN_TOTO, provenance(made, built.compression, built.builder, built.run))

    return {SBOM: bill, PROVENANCE: proof}


def attach(repository: Repository, image: Descriptor, kind: str, document: Mapping[str, Any]) -> str:
    """Push a document as an artifact whose ``subject`` is the image; one that is there already is not written again.

    Returns the digest of its manifest. Raises what ``put_referrer`` raises.
    """
    known = {each.descriptor.digest for each in list_referrers(repository, image.digest)}
    return _attach(repository, image, document_blob(kind, document), known)


def base_of(plan: Plan, base: Base) -> LockedBase:
    """The base that was really built upon: the lock's, or the one that stood in for it."""
    pinned = f"{plan.base.reference}@{plan.base.digest}"
    return plan.base if base.reference == pinned else LockedBase(base.reference.partition("@")[0], base.digest)


def baked_files(blobs: Blobs, image: Image) -> list[BakedFile]:
    """The files that the build made, as the image's own manifest lists them. It lies in one of the topmost layers."""
    for layer in reversed(image.layers):
        here = layer if layer.content is not None else remote_blob(blobs, layer.descriptor)
        if (manifest := read_layer(here, (), MODELS_MANIFEST).kept) is not None:
            files = json.loads(manifest)["files"].items()
            baked = [BakedFile(path, each["sha256"], each["size"], each["origin"]) for path, each in files]
            return [each for each in baked if each.origin != "published"]
    return []


def packages_of(blobs: Blobs, built: Built) -> list[Package]:
    """What is installed in the image, by its own layers: those that hold neither a model nor its code are read once."""
    config = json.loads(read_all(built.image.config))
    kinds = {f"prebake: {layer.name}": layer.kind for layer in built.plan.layers}
    names = [str(entry.get("created_by", "")) for entry in config["history"]]
    layers = [
        layer if layer.content is not None else remote_blob(blobs, layer.descriptor)
        for name, layer in zip(names, built.image.layers, strict=True)
        if kinds.get(name, "dependencies") == "dependencies"
    ]
    return installed_packages(read_installed(layers), config["config"].get("Env") or [], built.requirements)


def _attach(repository: Repository, image: Descriptor, document: Blob, known: set[str]) -> str:
    """The manifest is as the image specification has it ("Guidelines for Artifact Usage")."""
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
