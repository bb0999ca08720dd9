"""The Engine's images: digests, sizes, layers and configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from docker import DockerClient
from docker.errors import APIError, NotFound

from prebake.docker.connection import Connection
from prebake.docker.images.known_layers import KnownLayers
from prebake.errors import EngineError
from prebake.io.cache_folder import cache_folder

NO_NAME = "<none>:<none>"
"""In the list of an older Engine: the image has no name."""


@dataclass(frozen=True)
class LayerFacts:
    """``diff_id`` is the sha256 of the layer's plain tar; ``size`` in bytes, as unpacked on the Engine's disk."""

    diff_id: str
    size: int
    created_by: str


@dataclass(frozen=True)
class ImageFacts:
    """``digest`` is the manifest's with the containerd image store, else the config's.

    ``size`` is the sum of the unpacked layers, in bytes; ``config`` has ``Env``, ``Cmd``, ``User`` and so on.
    """

    reference: str
    digest: str
    size: int
    layers: tuple[LayerFacts, ...]
    config: Mapping[str, Any]


def inspect_image(connection: Connection, reference: str) -> ImageFacts:
    """Raises EngineError if the Engine has no such image."""
    facts = find_image(connection, reference)
    if facts is None:
        raise EngineError(f"The Engine has no image {reference}.", next_action="build it first")
    return facts


def find_image(connection: Connection, reference: str) -> ImageFacts | None:
    """None if the Engine has no such image."""
    with closing(connection.client()) as client:
        try:
            image = client.images.get(reference)
            history = list(reversed(image.history()))
        except NotFound:  # also that of a content that is removed meanwhile
            return None
    diffs = image.attrs["RootFS"].get("Layers") or []
    layers = _layers(diffs, history)
    return ImageFacts(reference, str(image.id), sum(layer.size for layer in layers), layers, image.attrs["Config"])


def list_diff_ids(connection: Connection) -> frozenset[str]:
    """The diff ids of the layers of all images."""
    with closing(connection.client()) as client:
        found = _diff_ids_by_id(client, list_summaries(client, every=True))
        return frozenset(diff_id for diff_ids in found.values() for diff_id in diff_ids)


def diff_ids_by_name(connection: Connection) -> dict[str, frozenset[str]]:
    """The diff ids of each named image, by its name."""
    with closing(connection.client()) as client:
        summaries = list_summaries(client, dangling=False)
        found = _diff_ids_by_id(client, summaries)
        return {
            name: frozenset(found[listed["Id"]])
            for listed in summaries
            if listed["Id"] in found
            for name in listed["RepoTags"] or ()
            if name != NO_NAME
        }


_LIST_TRIES = 10


def list_summaries(client: DockerClient, *, every: bool = False, **filters: object) -> list[dict[str, Any]]:
    """The Engine's short description of each image (``RepoTags``, ``Id`` …), with ``every`` also of the intermediate images of
    a classic build. ``filters`` are the Engine's, such as ``dangling=False`` for images with a name.

    Filter out images that the caller does not need. For each image in the list, an Engine with containerd's image store adds
    up the sizes of its layers (docs/measurements/test-suite.md, "Builds"). Such an Engine also fails the whole list (404,
    "content digest not found") if one of the images is removed meanwhile. So it is asked again.
    """
    for _ in range(_LIST_TRIES - 1):
        with suppress(NotFound):
            return list(client.api.images(all=every, filters=filters))
    return list(client.api.images(all=every, filters=filters))


def _diff_ids_by_id(client: DockerClient, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[str]]:
    """The diff ids of images, by their IDs. The Engine is asked only for images that no earlier call has seen: an ID is the
    digest of what names the layers. An image that is removed meanwhile is left out."""
    known = KnownLayers(cache_folder() / "engine-images.json")
    found: dict[str, Sequence[str]] = {}
    for listed in summaries:
        diff_ids = known.get(listed["Id"])
        if diff_ids is None:
            with suppress(NotFound):
                diff_ids = client.images.get(listed["Id"]).attrs["RootFS"].get("Layers") or []
                if diff_ids:  # an image whose content is not here yet has none
                    known.add(listed["Id"], diff_ids)
        if diff_ids is not None:
            found[listed["Id"]] = diff_ids
    known.save()
    return found


def has_image(connection: Connection, reference: str) -> bool:
    """False also for a text that can be no image's name, such as ``HEAD~1``."""
    with closing(connection.client()) as client:
        try:
            client.images.get(reference)
        except NotFound:
            return False
        except APIError as error:
            if error.status_code == HTTPStatus.BAD_REQUEST:  # "invalid reference format"
                return False
            raise
    return True


def _layers(diffs: list[str], history: list[Mapping[str, Any]]) -> tuple[LayerFacts, ...]:
    """The Engine's history does not mark entries without a layer (ENV, CMD …): those of size 0."""
    entries = [entry for entry in history if entry["Size"] > 0]
    if len(entries) != len(diffs):  # some layer has no content; then entries and layers are paired in order
        entries = (entries + [{"Size": 0, "CreatedBy": ""}] * len(diffs))[: len(diffs)]
    return tuple(
        LayerFacts(diff_id, int(entry["Size"]), str(entry["CreatedBy"]))
        for diff_id, entry in zip(diffs, entries, strict=True)
    )
