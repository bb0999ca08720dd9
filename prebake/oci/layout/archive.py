"""An OCI layout as one tar, with a manifest for older Engines: for ``docker load``, podman, and skopeo's ``oci-archive:``."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from prebake.documents.canonical import canonical_json
from prebake.io.atomic_write import new_file, remove_unfinished
from prebake.io.disk_space import require_room, translate_full_disk
from prebake.oci.blobs.blobs import Blob, Image, data_blob, read_all
from prebake.oci.blobs.verification import verified_chunks
from prebake.oci.layout import index

DOCKER_SAVE_MANIFEST = "manifest.json"
"""The file of ``docker save`` that names config and layers; Engines that know no OCI layouts read it."""

_BLOCK = 512
_MAX_HEADER_BYTES = 4 * _BLOCK  # a member's header and padding; above 8 GiB also pax's header with a record


def write_layout_tar(image: Image, path: Path, *, reference: str) -> None:
    """Write the archive to ``path``, which gets its name when it is complete. Raises as ``layout_tar`` does, and NoRoom."""
    chunks = layout_tar(image, reference=reference)
    blobs = (*image.blobs, image.manifest)
    with translate_full_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path.parent)
        needed = sum(blob.size + _MAX_HEADER_BYTES for blob in blobs)
        require_room(path.parent, needed, what=f"the archive of {reference}")
        with new_file(path) as file:
            for chunk in chunks:
                file.write(chunk)


def layout_tar(image: Image, *, reference: str) -> Iterator[bytes | memoryview]:
    """The archive's bytes, which are the same on every machine: members are sorted, have the epoch as their time, and belong to
    root. A chunk is valid until the next one is read.

    Raises LayoutError or ReferenceInvalid at once, ChecksumMismatch or FileChanged before the archive's end, so that a reader
    notices.
    """
    index.require_contents([*image.blobs, image.manifest], where="the archive")
    return _tar(_members(image, reference))


def _tar(members: dict[str, Blob]) -> Iterator[bytes | memoryview]:
    for path, blob in sorted(members.items()):
        yield _header(path, blob.size)
        yield from verified_chunks(blob)
        yield bytes(-blob.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _members(image: Image, reference: str) -> dict[str, Blob]:
    """The archive has no folders: tar makes them when it unpacks."""
    entry = index.describe_image(image, read_all(image.config), reference)
    older = [
        {
            "Config": _path(image.config),
            "RepoTags": [index.full_name(reference)],
            "Layers": [_path(layer) for layer in image.layers],
        }
    ]
    documents = {
        "oci-layout": index.MARKER,
        "index.json": index.add_to_index(entry),
        DOCKER_SAVE_MANIFEST: canonical_json(older),
    }
    blobs = {_path(blob): blob for blob in (*image.blobs, image.manifest)}
    return {**blobs, **{name: data_blob("application/json", data) for name, data in documents.items()}}


def _path(blob: Blob) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)
