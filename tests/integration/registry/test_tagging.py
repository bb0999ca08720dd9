"""A tag is given to an image that was pushed by its digest."""

from __future__ import annotations

import pytest

from prebake.oci.errors import RegistryDenied, RegistryError
from prebake.oci.registry.push import push_image
from prebake.oci.registry.tags import tag_image
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import Opened, bytes_of, layer, pulled
from tests.support.registry_servers.front import Fault, Front


def test_a_tag_moves_to_the_image_and_no_blob_is_sent(front: Front, path: str, opened: Opened) -> None:
    repository, old, new = opened(front.address, path), image_of(layer(1)), image_of(layer(2))
    push_image(repository, old, "v1")
    push_image(repository, new)
    uploads = front.requests("POST", "uploads")
    tag_image(repository, new.digest, "v1")
    assert pulled(repository, "v1") == bytes_of(new)
    assert pulled(repository, old.digest) == bytes_of(old)
    assert front.requests("POST", "uploads") == uploads


def test_a_tag_that_names_the_image_already_is_not_written_again(front: Front, path: str, opened: Opened) -> None:
    front.immutable = True
    repository, image = opened(front.address, path), image_of(layer(1))
    push_image(repository, image)
    tag_image(repository, image.digest, "v1")
    tag_image(repository, image.digest, "v1")
    assert len(front.requests("PUT", "manifests/v1")) == 1


def test_without_the_image_the_tag_stays_where_it_is(front: Front, path: str, opened: Opened) -> None:
    repository, image = opened(front.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    absent = image_of(layer(2)).digest
    with pytest.raises(RegistryError, match=f"{path} has no image {absent}"):
        tag_image(repository, absent, "v1")
    assert repository.resolve("v1") == image.digest


def test_a_tag_that_the_registry_refuses_stays_where_it_is(front: Front, path: str, opened: Opened) -> None:
    repository, old, new = opened(front.address, path), image_of(layer(1)), image_of(layer(2))
    push_image(repository, old, "v1")
    push_image(repository, new)
    front.faults.append(Fault("PUT", "manifests/v1", status=403))
    with pytest.raises(RegistryDenied):
        tag_image(repository, new.digest, "v1")
    assert repository.resolve("v1") == old.digest
