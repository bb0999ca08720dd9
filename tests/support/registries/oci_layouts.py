"""Images to be written as layouts, and looks into the folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from prebake.io.atomic_write import PREFIX
from prebake.oci.blobs.blobs import Blob, Image
from prebake.oci.blobs.content import Content
from tests.support.registries.oci_images import file_layer, image_of, tar_layer

NAME = "prebake/toy:one"
FIRST = tar_layer({"models/first": b"first" * 1000})
SECOND = tar_layer({"models/second": b"second" * 1000})
IMAGE = image_of(FIRST, SECOND)
OTHER = image_of(FIRST, tar_layer({"app/code": b"other"}))


def place(folder: Path, blob: Blob) -> Path:
    return folder / "blobs" / blob.digest.replace(":", "/")


def blob_names(folder: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (folder / "blobs" / "sha256").iterdir()}


def has_no_half_blob(folder: Path, image: Image) -> bool:
    return all(
        place(folder, blob).stat().st_size == blob.size
        for blob in (*image.blobs, image.manifest)
        if place(folder, blob).exists()
    )


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{PREFIX}*"))


def random_layer(folder: Path, size: int) -> Blob:
    path = folder / f"random-{size}"
    path.write_bytes(os.urandom(size))
    return file_layer(path, "models/random")


@dataclass(frozen=True)
class Watched:
    """A real content that has something happen when it is read."""

    content: Content
    when_read: Callable[[], object]

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        self.when_read()
        yield from self.content.chunks(offset)


def watched(blob: Blob, when_read: Callable[[], object]) -> Blob:
    assert blob.content is not None
    return replace(blob, content=Watched(blob.content, when_read))
