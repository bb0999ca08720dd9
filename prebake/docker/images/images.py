"""The Engine's images: digests, sizes, layers and configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.images import Image

from prebake.docker.connection import Connection
from prebake.errors import EngineError


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
        images = _images(client, every=True)
        return frozenset(diff_id for image in images for diff_id in image.attrs["RootFS"].get("Layers") or ())


def diff_ids_by_name(connection: Connection) -> dict[str, frozenset[str]]:
    """The diff ids of each named image, by its name."""
    with closing(connection.client()) as client:
        return {
            tag: frozenset(image.attrs["RootFS"].get("Layers") or ()) for image in _images(client) for tag in image.tags
        }


_LIST_TRIES = 10


def list_summaries(client: DockerClient, *, every: bool = False) -> list[dict[str, Any]]:
    """The Engine's short description of each image (``RepoTags``, ``Id`` …), with ``every`` also of images without a name.

    An Engine with containerd's image store fails the whole list (404, "content digest not found") if one of the images is
    removed while it reads them. So it is asked again.
    """
    for _ in range(_LIST_TRIES - 1):
        with suppress(NotFound):
            return list(client.api.images(all=every))
    return list(client.api.images(all=every))


def _images(client: DockerClient, *, every: bool = False) -> Iterator[Image]:
    """The Engine's images. An image that is removed meanwhile is skipped, while ``images.list`` would fail."""
    for listed in list_summaries(client, every=every):
        try:
            image = client.images.get(listed["Id"])
        except NotFound:
            continue
        yield image


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
