"""Facts about an image that the Engine has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.images import Image

from prebake.engine.connection import Connection
from prebake.errors import EngineError


@dataclass(frozen=True)
class LayerFacts:
    """``diff`` is the sha256 of the layer's plain tar; ``size`` in bytes, as unpacked on the Engine's disk."""

    diff: str
    size: int
    created_by: str


@dataclass(frozen=True)
class ImageFacts:
    """``digest`` is the manifest's with the containerd image store, otherwise that of the image's configuration.

    ``size`` is the sum of the unpacked layers, in bytes; ``config`` is ``Env``, ``Cmd``, ``User`` and so on as the
    Engine has them.
    """

    reference: str
    digest: str
    size: int
    layers: tuple[LayerFacts, ...]
    config: Mapping[str, Any]


def inspect_image(connection: Connection, reference: str) -> ImageFacts:
    """Raises EngineError where the Engine has no such image."""
    facts = find_image(connection, reference)
    if facts is None:
        raise EngineError(f"the Engine has no image {reference}", next_action="build it first")
    return facts


def find_image(connection: Connection, reference: str) -> ImageFacts | None:
    """None where the Engine has no such image."""
    with closing(connection.client()) as client:
        try:
            image = client.images.get(reference)
        except ImageNotFound:
            return None
        history = list(reversed(image.history()))
    diffs = image.attrs["RootFS"].get("Layers") or []
    layers = _layers(diffs, history)
    return ImageFacts(reference, str(image.id), sum(layer.size for layer in layers), layers, image.attrs["Config"])


def known_layers(connection: Connection) -> frozenset[str]:
    """The diff ids of every layer that an image of the Engine has."""
    with closing(connection.client()) as client:
        images = _there(client, every=True)
        return frozenset(diff for image in images for diff in image.attrs["RootFS"].get("Layers") or ())


def layers_by_name(connection: Connection) -> dict[str, frozenset[str]]:
    """The diff ids of each image that has a name, by that name."""
    with closing(connection.client()) as client:
        return {
            tag: frozenset(image.attrs["RootFS"].get("Layers") or ()) for image in _there(client) for tag in image.tags
        }


def _there(client: DockerClient, *, every: bool = False) -> Iterator[Image]:
    """The Engine's images; one that somebody removes while they are looked at is left out, at which ``images.list`` fails."""
    for listed in client.api.images(all=every):
        try:
            image = client.images.get(listed["Id"])
        except ImageNotFound:
            continue
        yield image


def has_image(connection: Connection, reference: str) -> bool:
    with closing(connection.client()) as client:
        try:
            client.images.get(reference)
        except ImageNotFound:
            return False
    return True


def _layers(diffs: list[str], history: list[Mapping[str, Any]]) -> tuple[LayerFacts, ...]:
    """The Engine's history has entries without a layer (ENV, CMD …) and does not mark them: their size is 0."""
    made = [entry for entry in history if entry["Size"] > 0]
    if len(made) != len(diffs):  # a layer without content; then only the sizes in order are known
        made = (made + [{"Size": 0, "CreatedBy": ""}] * len(diffs))[: len(diffs)]
    return tuple(
        LayerFacts(diff, int(entry["Size"]), str(entry["CreatedBy"])) for diff, entry in zip(diffs, made, strict=True)
    )
