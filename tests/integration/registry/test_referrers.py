"""Documents attached to an image, with and without the registry's help."""

from __future__ import annotations

from dataclasses import replace

from prebake.oci.blobs.blobs import EMPTY, MANIFEST, Blob, Image, data_blob, document_blob
from prebake.oci.registry.push import push_image
from prebake.oci.registry.referrers import Referrer, list_referrers, put_referrer
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import Opened, layer
from tests.support.registry_servers.keeping import KeepingRegistry
from tests.support.registry_servers.killable import KillableRegistry
from tests.support.registry_servers.server import served


def signature(subject: Image, text: str) -> Blob:
    config = data_blob(EMPTY, b"{}")
    return document_blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": config.descriptor.document(),
            "layers": [config.descriptor.document()],
            "subject": subject.manifest.descriptor.document(),
            "annotations": {"org.example.text": text},
        },
    )


def referrer(blob: Blob, text: str) -> Referrer:
    descriptor = replace(blob.descriptor, annotations={"org.example.text": text})
    return Referrer(descriptor, "application/vnd.example.signature")


def test_referrers_are_kept_under_a_tag_where_the_registry_has_no_list_of_them(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    repository.push(data_blob(EMPTY, b"{}"))
    assert list_referrers(repository, image.digest) == []
    one, two = signature(image, "one"), signature(image, "two")
    for each in (one, two, one):
        assert put_referrer(repository, each) == each.digest
    assert list_referrers(repository, image.digest) == [referrer(one, "one"), referrer(two, "two")]
    assert repository.resolve(image.digest.replace(":", "-")) is not None


def test_referrers_are_listed_over_all_pages_where_the_registry_lists_them(opened: Opened) -> None:
    registry = KeepingRegistry()
    with served(registry):
        repository, image = opened(registry.address, "kept"), image_of(layer(1))
        signatures = [signature(image, text) for text in ("one", "two", "three")]
        for each in signatures:
            put_referrer(repository, each)
        found = list_referrers(repository, image.digest)
        assert [each.descriptor.digest for each in found] == [each.digest for each in signatures]
        assert len(registry.manifests) == 3, "no index besides"
