"""An image at a registry, brought into the Engine with the user's credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from prebake.docker.connection import Connection
from prebake.docker.images.images import has_image
from prebake.docker.platform import engine_platform
from prebake.io.log import Log
from prebake.oci.blobs.blobs import INDEX, Blob, Descriptor, Image
from prebake.oci.blobs.content import BytesContent
from prebake.oci.errors import unusable
from prebake.oci.platforms import normalize_platform
from prebake.oci.reference import Reference
from prebake.oci.registry.repository import DOCKER_INDEX, Repository
from prebake.oci.transfer.download import remote_blob
from prebake.workflow.delivery.outputs import EngineOutput

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def pull_image(connection: Connection, reference: Reference, name: str, log: Log) -> tuple[str, str]:
    """Bring the image into the Engine as ``NAME:<start of its digest>``. Returns that tag and the digest at the registry.

    This process reads the registry, so the Engine needs no credentials and no way there; the Engine asks for the layers that it
    lacks. An image that the Engine has already under that tag is not read again. Of an index, the Engine's platform is chosen.
    Raises the errors of a Repository.
    """
    with closing(Repository(reference, log=log)) as repository:
        descriptor, data = _require(repository, reference.target)
        if descriptor.media_type in (INDEX, DOCKER_INDEX):
            chosen = _choose(reference, _parse(reference, data), engine_platform(connection))
            descriptor, data = _require(repository, chosen)
        tag = f"{name}:{descriptor.digest.removeprefix('sha256:')[:32]}"
        if has_image(connection, tag):
            log(f"baseline: the Engine has {reference.name}@{descriptor.digest}")
        else:
            log(f"baseline: pulling {reference.name}@{descriptor.digest}")
            EngineOutput(connection, tag, log).put(_read(repository, descriptor, data))
    return tag, descriptor.digest


def _require(repository: Repository, target: str) -> tuple[Descriptor, bytes]:
    found = repository.get_manifest(target)
    if found is None:
        raise unusable(repository.reference.host, f"{repository.reference.path} has no {target}")
    return found


def _read(repository: Repository, descriptor: Descriptor, data: bytes) -> Image:
    document = _parse(repository.reference, data)
    try:
        config, *layers = (_read_descriptor(each) for each in (document["config"], *document["layers"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unusable(repository.reference.host, f"{descriptor.digest} is no image's manifest") from error
    blobs = tuple(remote_blob(repository, each) for each in layers)
    return Image(Blob(descriptor, BytesContent(data)), remote_blob(repository, config), blobs)


def _parse(reference: Reference, data: bytes) -> Mapping[str, Any]:
    """The JSON object of a manifest or an index."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise unusable(reference.host, f"the manifest of {reference} is no JSON document") from error
    if not isinstance(document, dict):
        raise unusable(reference.host, f"the manifest of {reference} is no object")
    return document


def _read_descriptor(document: Mapping[str, Any]) -> Descriptor:
    """Raises ValueError for another size or digest than a descriptor has: they become lengths and parts of URLs."""
    descriptor = Descriptor.read(document)
    if not (isinstance(descriptor.size, int) and descriptor.size >= 0 and _DIGEST.fullmatch(descriptor.digest)):
        raise ValueError(f"not a descriptor: {document!r:.200}")
    return descriptor


def _choose(reference: Reference, index: Mapping[str, Any], platform: str) -> str:
    """The digest of the manifest for ``platform`` in an index."""
    entries: Iterable[Mapping[str, Any]] = index.get("manifests") or ()
    try:
        found = {_platform(entry): str(entry["digest"]) for entry in entries if _DIGEST.fullmatch(entry["digest"])}
    except (AttributeError, LookupError, TypeError) as error:
        raise unusable(reference.host, f"the index of {reference} has an entry that cannot be read") from error
    if platform not in found:
        names = ", ".join(sorted(name for name in found if name)) or "none"
        raise unusable(reference.host, f"{reference} has no image for {platform}; it has: {names}")
    return found[platform]


def _platform(entry: Mapping[str, Any]) -> str:
    """Empty for an entry that is no image, such as an attestation of BuildKit (``unknown/unknown``)."""
    platform = entry.get("platform") or {}
    parts = [platform.get("os"), platform.get("architecture"), platform.get("variant")]
    text = "/".join(part for part in parts if part)
    return normalize_platform(text) if "/" in text and "unknown" not in text else ""
