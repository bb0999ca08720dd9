"""The toy at a registry, and copies of it that somebody had hands on."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

from prebake.oci.blobs.blobs import (
    CONFIG,
    GZIP,
    ZSTD,
    Blob,
    Descriptor,
    Image,
    data_blob,
    document_blob,
    make_image,
    read_all,
)
from prebake.oci.registry.push import push_image
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.workflow.layers.remote_image import ImageDiffers
from tests.support.commands.projects import Built, Ended
from tests.support.registries.oci_images import tar_of

PUBLISHED = "first/model.safetensors"
WEIGHTS = f"models/{PUBLISHED}"
BUILDER = "https://builder.example/1"


@dataclass(frozen=True)
class Pushed:
    """The toy at a registry, by the real command; ``storage`` is the registry's folder."""

    built: Built
    name: str
    storage: Path

    def verify(self, tag: str, *words: str) -> Ended:
        return self.built.project.run("verify", f"{self.name}:{tag}", "--model", "toy", *words)

    def faults(self, tag: str) -> str:
        """What verify says of a copy that it must not pass."""
        ended = self.verify(tag).expect(ImageDiffers.exit_code)
        assert ended.stdout == ""
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def blob_path(self, digest: str) -> Path:
        value = digest.removeprefix("sha256:")
        return self.storage / "blobs/docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


@dataclass(frozen=True)
class Copy:
    """An image in pieces, to be changed: the config's document, and layers by what the history calls them."""

    config: dict[str, Any]
    layers: tuple[Blob, ...]

    @classmethod
    def of(cls, repository: Repository, tag: str = "v1") -> Copy:
        found = repository.get_manifest(tag)
        assert found is not None
        manifest = json.loads(found[1])
        config = json.loads(read_all(remote_blob(repository, Descriptor.read(manifest["config"]))))
        return cls(config, tuple(remote_blob(repository, Descriptor.read(each)) for each in manifest["layers"]))

    def index(self, name: str) -> int:
        (found,) = [n for n, each in enumerate(self.config["history"]) if each["created_by"] == f"prebake: {name}"]
        return found

    def changed(self, name: str, change: Callable[[dict[str, bytes]], object]) -> Copy:
        """One layer's files changed, under digests that are right for the new bytes."""
        number = self.index(name)
        files = read_files(self.layers[number])
        change(files)
        return self.replaced(number, tar_like_ours(files))

    def replaced(self, number: int, tar: bytes) -> Copy:
        self.config["rootfs"]["diff_ids"][number] = sha256(tar)
        layers = list(self.layers)
        layers[number] = data_blob(ZSTD, zstandard.compress(tar))
        return replace(self, layers=tuple(layers))

    def push(self, repository: Repository, tag: str) -> Image:
        image = make_image(document_blob(CONFIG, self.config), self.layers)
        push_image(repository, image, tag)
        return image


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def plain(layer: Blob) -> bytes:
    data = read_all(layer)
    if layer.descriptor.media_type == ZSTD:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return gzip.decompress(data) if layer.descriptor.media_type == GZIP else data


def read_files(layer: Blob) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(plain(layer))) as tar:
        for info in tar:
            if (file := tar.extractfile(info)) is not None:
                found[info.name.lstrip("./")] = file.read()
    return found


def tar_like_ours(files: Mapping[str, bytes], mode: int = 0o444) -> bytes:
    return tar_of(dict(sorted(files.items())), mode)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])
