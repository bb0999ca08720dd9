"""Layers whose bytes are gone are made again, all of them, however few a destination names at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from prebake.oci.blobs.blobs import Image
from prebake.oci.layout.assembly import BaseImage
from prebake.workflow.build import deliver
from prebake.workflow.delivery.outputs import Delivery, Output
from prebake.workflow.layers.cache_lookup import MissingBlobs
from prebake.workflow.pipeline.assembly import AssembledImage
from tests.support.registries.oci_images import image_of, tar_layer


@dataclass
class Engine:
    """A destination that ends at the first layer it cannot have."""

    lacks: list[str]
    name: str = "docker"
    puts: list[Image] = field(default_factory=list)

    def companion(self, suffix: str) -> Output:
        raise AssertionError(suffix)

    def put(self, image: Image) -> Delivery:
        self.puts.append(image)
        if self.lacks:
            raise MissingBlobs(self.lacks[:1])
        return Delivery("toy", 0)


def made() -> AssembledImage:
    return AssembledImage(image_of(tar_layer({"app/code": b"code"})), BaseImage({}, ()), ())


def test_layers_that_are_named_one_after_the_other_are_all_made_again() -> None:
    engine, again = Engine(["sha256:one", "sha256:two", "sha256:three"]), made()

    def remake(digests: Collection[str]) -> AssembledImage:
        engine.lacks = [each for each in engine.lacks if each not in digests]
        return again

    assert deliver(made(), engine, remake) == (again, Delivery("toy", 0))
    assert len(engine.puts) == 4


def test_a_layer_that_is_missing_although_it_was_made_again_ends_the_build() -> None:
    engine = Engine(["sha256:one"])
    with pytest.raises(MissingBlobs, match="sha256:one"):
        deliver(made(), engine, lambda _: made())
    assert len(engine.puts) == 2
