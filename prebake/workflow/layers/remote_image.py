"""An image at a registry: each layer is read once, and its facts are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prebake.checkpoints.progress import Progress
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.errors import ChecksumMismatch, InputProblems, Problem
from prebake.io.byte_sizes import format_bytes
from prebake.oci.blobs.blobs import Blob, Descriptor
from prebake.oci.errors import unusable
from prebake.oci.layers.layer_reader import LayerContents, read_layer
from prebake.oci.registry.push import short_digest
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import RemoteContent
from prebake.workflow.layers.transfer_progress import WatchedContent, show_progress

BASE_LAYER = "base"
"""The name of a layer that Prebake did not write."""

MODELS_MANIFEST = f"models/{MODEL_MANIFEST}"
HASHED_FOLDERS = ("models/", "app/")
"""Files below these folders are hashed."""


class ImageDiffers(InputProblems):
    """An image at a registry differs from what the lock and this checkout describe. The message lists every
    difference, claimed against found."""

    exit_code = 45


@dataclass(frozen=True)
class RemoteImage:
    """An image at a registry. ``faults`` are those of its config's bytes."""

    digest: str
    config: Mapping[str, Any]
    layers: tuple[LayerContents, ...]
    faults: tuple[Problem, ...] = ()

    @property
    def history(self) -> list[str]:
        """The names of the layers in the config's history."""
        entries = [str(entry.get("created_by", "")) for entry in self.config.get("history") or []]
        return [name.removeprefix("prebake: ") if name.startswith("prebake: ") else BASE_LAYER for name in entries]

    @property
    def diffs(self) -> list[str]:
        return list((self.config.get("rootfs") or {}).get("diff_ids") or [])

    @property
    def names(self) -> list[str]:
        """The name of each layer: by its position, or by its diff ID if the number of layers differs from the history's."""
        if len(self.history) == len(self.layers):
            return self.history
        known = dict(zip(self.diffs, self.history, strict=False))
        return [known.get(layer.diff_id, "unknown") for layer in self.layers]

    @property
    def manifest(self) -> Mapping[str, Any]:
        """/models/manifest.json; empty if there is none or it cannot be read."""
        found = [layer.kept for layer in self.layers if layer.kept is not None]
        return _object(found[-1]) if found else {}


def join_images(serving: RemoteImage, weights: RemoteImage) -> RemoteImage:
    """Both as one image with the serving image's config. The topmost layer is that of the code."""

    def merged(own: list[Any], others: list[Any]) -> list[Any]:
        return [*own[:-1], *others, *own[-1:]]

    history = merged(serving.config.get("history") or [], weights.config.get("history") or [])
    config = {**serving.config, "history": history, "rootfs": {"diff_ids": merged(serving.diffs, weights.diffs)}}
    layers = merged(list(serving.layers), list(weights.layers))
    return RemoteImage(serving.digest, config, tuple(layers), serving.faults + weights.faults)


def read_image(repository: Repository) -> RemoteImage:
    """Raises ImageDiffers if the reference names something other than an image."""
    reference = repository.reference
    try:
        answer = repository.get_manifest(reference.target)
    except ChecksumMismatch as error:
        raise image_differs(str(reference), [Problem("manifest", error.message)]) from error
    if answer is None:
        raise unusable(reference.host, f"{reference.path} has no {reference.target}")
    try:
        document = json.loads(answer[1])
        config, *layers = (Descriptor.read(descriptor) for descriptor in (document["config"], *document["layers"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        fault = describe_mismatch("an image's manifest", answer[0].media_type or "something else")
        raise image_differs(str(reference), [Problem("manifest", fault)]) from None
    settings, faults = _read_config(repository, config)
    found = []
    with show_progress("verify") as progress:
        progress.expect({short_digest(layer.digest): layer.size for layer in layers})
        for number, layer in enumerate(layers, 1):
            progress.note("verify", f"layer {number} of {len(layers)}, {format_bytes(layer.size)}")
            found.append(_read_layer(repository, layer, progress))
    return RemoteImage(answer[0].digest, settings, tuple(found), faults)


def _read_layer(repository: Repository, descriptor: Descriptor, progress: Progress) -> LayerContents:
    if not repository.has(descriptor.digest):
        return LayerContents(descriptor, fault="is missing at the registry")
    if fault := _cut_short(repository, descriptor):
        return LayerContents(descriptor, fault=fault)
    name = short_digest(descriptor.digest)
    watched = repository.with_log(partial(progress.note, "verify"))
    content = WatchedContent(RemoteContent(watched, descriptor), name, progress)
    return read_layer(Blob(descriptor, content), HASHED_FOLDERS, MODELS_MANIFEST)


def _cut_short(repository: Repository, descriptor: Descriptor) -> str:
    """The fault of a blob that is shorter than its descriptor says. It is checked before reading: an early end looks like a
    broken connection, which would be retried."""
    size = repository.size_of(descriptor.digest)
    return (
        describe_mismatch(f"{descriptor.size} bytes", f"{size}") if size is not None and size < descriptor.size else ""
    )


def _read_config(repository: Repository, descriptor: Descriptor) -> tuple[Mapping[str, Any], tuple[Problem, ...]]:
    """The config as it is, even if its bytes do not have its digest."""
    if fault := _cut_short(repository, descriptor):
        return {}, (Problem("config", fault),)
    data, faults = bytearray(), []
    try:
        for chunk in repository.open_blob(descriptor.digest, descriptor.size):
            data += chunk
    except ChecksumMismatch as error:
        faults.append(Problem("config", error.message))
    found = _object(bytes(data))
    if not _is_config(found):
        faults.append(Problem("config", describe_mismatch("an image's config", "something else")))
        return {}, tuple(faults)
    return found, tuple(faults)


def _is_config(document: Mapping[str, Any]) -> bool:
    """Whether the fields that are read here are those of a config (OCI image specification, config.md)."""
    rootfs, history, config = (document.get(key) for key in ("rootfs", "history", "config"))
    if not (isinstance(rootfs, dict) and isinstance(history, list) and isinstance(config, dict)):
        return False
    lists = [rootfs.get("diff_ids"), config.get("Env") or []]
    objects = [*history, config.get("Labels") or {}, config.get("ExposedPorts") or {}]
    return all(isinstance(entry, list) for entry in lists) and all(isinstance(entry, dict) for entry in objects)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def describe_mismatch(claimed: object, found: object) -> str:
    return f"claimed {claimed}, found {found}"


def image_differs(name: str, problems: Sequence[Problem]) -> ImageDiffers:
    return ImageDiffers(
        f"{name} differs from the project:",
        problems,
        next_action="check out the revision that the image was built from, and pass its --target and --checkpoint; if it still"
        " differs, do not run the image: build it again and push it",
    )
