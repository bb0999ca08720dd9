"""An image of an Engine becomes the image that a push sends, from either kind of image store."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from prebake.docker.images.image_blobs import read_archive
from prebake.errors import EngineError
from prebake.oci.blobs.blobs import CONFIG, INDEX, LAYER, ZSTD, Blob, Image, document_blob, read_all, sha256_digest
from prebake.oci.layout.archive import layout_tar
from tests.support.registries.oci_images import image_of, tar_layer


@pytest.fixture
def image() -> Image:
    """A layer that zstd shrinks, and one that it does not."""
    return image_of(tar_layer({"app/code": b"0" * 9000}), tar_layer({"models/weights": os.urandom(200_000)}))


def archive(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> list[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    data = packed.getvalue()
    return [data[start : start + 1000] for start in range(0, len(data), 1000)]


def path(blob: Blob) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def test_containerds_store_keeps_manifest_and_blobs(image: Image, tmp_path: Path) -> None:
    chunks = [bytes(chunk) for chunk in layout_tar(image, reference="prebake/toy:one")]
    found = read_archive(chunks, image.digest, tmp_path)
    assert found.manifest == image.manifest
    assert [blob.descriptor for blob in found.blobs] == [blob.descriptor for blob in image.blobs]
    assert [read_all(blob) for blob in found.blobs] == [read_all(blob) for blob in image.blobs]


def test_of_an_index_the_image_that_the_engine_has_is_chosen(image: Image, tmp_path: Path) -> None:
    absent = {"mediaType": INDEX, "digest": f"sha256:{'0' * 64}", "size": 1}
    index = document_blob(INDEX, {"manifests": [absent, image.manifest.descriptor.document()]})
    files = {path(blob): read_all(blob) for blob in (*image.blobs, image.manifest, index)}
    files["index.json"] = json.dumps({"manifests": [index.descriptor.document()]}).encode()
    names = [path(layer) for layer in image.layers]
    files["manifest.json"] = json.dumps([{"Config": path(image.config), "Layers": names}]).encode()
    assert read_archive(archive(files), index.digest, tmp_path).digest == image.digest


def test_unpacked_layers_are_compressed_as_a_build_does(image: Image, tmp_path: Path) -> None:
    """As an Engine before 25 writes them, which links layers that are equal."""
    config = read_all(image.config)
    files = {"config.json": config, "a/layer.tar": read_all(image.layers[0]), "c/layer.tar": read_all(image.layers[1])}
    layers = ["b/layer.tar", "c/layer.tar"]
    files["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": layers}]).encode()
    found = read_archive(archive(files, {"b/layer.tar": "../a/layer.tar"}), sha256_digest(config), tmp_path)
    assert [layer.descriptor.media_type for layer in found.layers] == [ZSTD, LAYER]
    assert found.layers[0].size < image.layers[0].size / 10
    assert found.layers[1].descriptor == image.layers[1].descriptor
    assert all(sha256_digest(read_all(blob)) == blob.digest for blob in (*found.blobs, found.manifest))
    assert found.config.descriptor.media_type == CONFIG
    assert json.loads(read_all(found.manifest))["layers"] == [layer.descriptor.document() for layer in found.layers]


def test_an_archive_without_a_layer_is_refused_with_its_name(image: Image, tmp_path: Path) -> None:
    files = {path(blob): read_all(blob) for blob in (image.config, image.layers[0], image.manifest)}
    files["index.json"] = json.dumps({"manifests": [image.manifest.descriptor.document()]}).encode()
    files["manifest.json"] = json.dumps([{"Config": path(image.config), "Layers": []}]).encode()
    with pytest.raises(EngineError, match=path(image.layers[1])):
        read_archive(archive(files), image.digest, tmp_path)
