"""Small images for tests: layers of a few files, put together by hand, with nothing in them that runs."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.oci.blobs.blobs import (
    CONFIG,
    LAYER,
    Blob,
    Descriptor,
    Image,
    document_blob,
    make_image,
    read_all,
    sha256_digest,
)
from prebake.oci.blobs.content import BytesContent, Content, FileContent, JoinedContent


def tar_layer(files: Mapping[str, bytes]) -> Blob:
    """A layer of these files, not compressed."""
    return layer_of(BytesContent(tar_of(files)))


def tar_of(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def file_layer(path: Path, name: str) -> Blob:
    """A tar of one file, whose bytes stay where they are."""
    info = tarfile.TarInfo(name)
    info.size = path.stat().st_size
    padding = bytes(-info.size % 512 + 1024)
    return layer_of(
        JoinedContent([BytesContent(info.tobuf(tarfile.PAX_FORMAT)), FileContent.of(path), BytesContent(padding)])
    )


def layer_of(content: Content) -> Blob:
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    return Blob(Descriptor(LAYER, f"sha256:{digest.hexdigest()}", content.size), content)


def image_of(*layers: Blob) -> Image:
    """A small image of these layers, which does nothing."""
    config = document_blob(
        CONFIG,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/nothing"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "a test"} for _ in layers],
        },
    )
    return make_image(config, layers)


def without_content(blob: Blob) -> Blob:
    return Blob(blob.descriptor)


def read_file(engine: Connection, image: str, path: str) -> bytes:
    """A file of an image that the Engine has, from a container that never runs."""
    with closing(engine.client()) as client:
        container = client.containers.create(image)
        try:
            chunks, _ = container.get_archive(path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                member = tar.extractfile(tar.getmembers()[0])
                assert member is not None
                return member.read()
        finally:
            container.remove()


def read_layout(folder: Path) -> dict[str, str]:
    """What the index of a layout names: tags, and the digest of each."""
    index = json.loads((folder / "index.json").read_bytes())
    return {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in index["manifests"]}


def verify_layout(folder: Path, image: Image) -> None:
    """Every blob of the image is there, with its own bytes."""
    for blob in (*image.blobs, image.manifest):
        assert sha256_digest((folder / "blobs" / blob.digest.replace(":", "/")).read_bytes()) == blob.digest
    assert json.loads(read_all(image.manifest))["config"]["digest"] == image.config.digest
