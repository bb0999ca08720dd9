"""An image as it is found at a registry: every layer read once, and what was seen of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prebake.checkpoints.progress import Progress
from prebake.errors import ChecksumMismatch, InputProblems, Problem
from prebake.oci.blobs import Blob, Descriptor
from prebake.oci.download import RemoteContent
from prebake.oci.errors import unusable
from prebake.oci.push import short_name
from prebake.oci.registry import Repository
from prebake.oci.unpacked import FoundLayer, read_layer
from prebake.sizes import show_bytes
from prebake.workflow.transfers import WatchedContent, showing

BASE = "base"
"""What a layer is called that is none of ours."""

MODELS_MANIFEST = "models/manifest.json"
COMPARED = ("models/", "app/")
"""Below these every file is hashed."""


class ImageDiffers(InputProblems):
    """An image is not what the project says; every difference is listed."""

    exit_code = 45


@dataclass(frozen=True)
class FoundImage:
    """What a registry holds. ``faults`` are those of its config's bytes."""

    digest: str
    config: Mapping[str, Any]
    layers: tuple[FoundLayer, ...]
    faults: tuple[Problem, ...] = ()

    @property
    def history(self) -> list[str]:
        """What each entry of the config's history calls its layer."""
        entries = [str(each.get("created_by", "")) for each in self.config.get("history") or []]
        return [each.removeprefix("prebake: ") if each.startswith("prebake: ") else BASE for each in entries]

    @property
    def diffs(self) -> list[str]:
        return list((self.config.get("rootfs") or {}).get("diff_ids") or [])

    @property
    def names(self) -> list[str]:
        """What each layer is called: by its place, or by its diff id where layers are too few or too many."""
        if len(self.history) == len(self.layers):
            return self.history
        known = dict(zip(self.diffs, self.history, strict=False))
        return [known.get(layer.diff, "unknown") for layer in self.layers]

    @property
    def manifest(self) -> Mapping[str, Any]:
        """/models/manifest.json; empty where there is none that can be read."""
        found = [layer.kept for layer in self.layers if layer.kept is not None]
        return _object(found[-1]) if found else {}


def joined(serving: FoundImage, weights: FoundImage) -> FoundImage:
    """The image that the two would be as one, of the serving image's config: the topmost layer is the code's."""

    def merged(own: list[Any], others: list[Any]) -> list[Any]:
        return [*own[:-1], *others, *own[-1:]]

    history = merged(serving.config.get("history") or [], weights.config.get("history") or [])
    config = {**serving.config, "history": history, "rootfs": {"diff_ids": merged(serving.diffs, weights.diffs)}}
    layers = merged(list(serving.layers), list(weights.layers))
    return FoundImage(serving.digest, config, tuple(layers), serving.faults + weights.faults)


def read_image(repository: Repository) -> FoundImage:
    """Raises ImageDiffers where the reference names something other than an image."""
    reference = repository.reference
    try:
        answer = repository.get_manifest(reference.target)
    except ChecksumMismatch as error:
        raise differ(str(reference), [Problem("manifest", error.message)]) from error
    if answer is None:
        raise unusable(reference.host, f"{reference.path} has no {reference.target}")
    try:
        document = json.loads(answer[1])
        config, *layers = (Descriptor.read(each) for each in (document["config"], *document["layers"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        fault = claim("an image's manifest", answer[0].media_type or "something else")
        raise differ(str(reference), [Problem("manifest", fault)]) from None
    settings, faults = _read_config(repository, config)
    found = []
    with showing("verify") as progress:
        progress.expect({short_name(layer.digest): layer.size for layer in layers})
        for number, layer in enumerate(layers, 1):
            progress.note("verify", f"layer {number} of {len(layers)}, {show_bytes(layer.size)}")
            found.append(_read_layer(repository, layer, progress))
    return FoundImage(answer[0].digest, settings, tuple(found), faults)


def _read_layer(repository: Repository, descriptor: Descriptor, progress: Progress) -> FoundLayer:
    if not repository.has(descriptor.digest):
        return FoundLayer(descriptor, fault="is not there")
    if fault := _cut_short(repository, descriptor):
        return FoundLayer(descriptor, fault=fault)
    name = short_name(descriptor.digest)
    watched = repository.telling(partial(progress.note, "verify"))
    content = WatchedContent(RemoteContent(watched, descriptor), name, progress)
    return read_layer(Blob(descriptor, content), COMPARED, MODELS_MANIFEST)


def _cut_short(repository: Repository, descriptor: Descriptor) -> str:
    """What is wrong with a blob that is too short, known before it is read: on its way, an end that comes early looks like
    a connection that broke, and would be waited for."""
    size = repository.size_of(descriptor.digest)
    return claim(f"{descriptor.size} bytes", f"{size}") if size is not None and size < descriptor.size else ""


def _read_config(repository: Repository, descriptor: Descriptor) -> tuple[Mapping[str, Any], tuple[Problem, ...]]:
    """What its bytes say, even where they are not those of the digest."""
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
        faults.append(Problem("config", claim("an image's config", "something else")))
        return {}, tuple(faults)
    return found, tuple(faults)


def _is_config(document: Mapping[str, Any]) -> bool:
    """As far as it is read here (OCI image specification, config.md)."""
    rootfs, history, config = (document.get(key) for key in ("rootfs", "history", "config"))
    if not (isinstance(rootfs, dict) and isinstance(history, list) and isinstance(config, dict)):
        return False
    lists = [rootfs.get("diff_ids"), config.get("Env") or []]
    objects = [*history, config.get("Labels") or {}, config.get("ExposedPorts") or {}]
    return all(isinstance(each, list) for each in lists) and all(isinstance(each, dict) for each in objects)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def claim(claimed: object, found: object) -> str:
    return f"claimed {claimed}, found {found}"


def differ(name: str, problems: Sequence[Problem]) -> ImageDiffers:
    return ImageDiffers(
        f"{name} is not what the project says:",
        problems,
        next_action="check out the revision that it was built from, with its --target and --checkpoint; if it still differs,"
        " do not run it: build again and push that",
    )
