"""A layout as one tar, with a manifest for older Engines: for ``docker load``, podman, and skopeo's ``oci-archive:``."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from prebake.disk import name_full_disk, require_room
from prebake.oci import index
from prebake.oci.blobs import Blob, Image, data_blob, read_all
from prebake.oci.newfiles import new_file, sweep, sync_folder
from prebake.oci.verified import verified_chunks

_BLOCK = 512
_HEADERS = 4 * _BLOCK  # of one member at most: its own, and where it is larger than 8 GiB pax's with a record; padding


def write_layout_tar(image: Image, path: Path, *, reference: str) -> None:
    """Write the archive to ``path``, which gets its name when it is whole.

    Raises as ``layout_tar`` does, and NoRoom.
    """
    chunks = layout_tar(image, reference=reference)
    blobs = (*image.blobs, image.manifest)
    with name_full_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        needed = sum(blob.size + _HEADERS for blob in blobs)
        require_room(path.parent, needed, what=f"the archive of {reference}")
        with new_file(path) as file:
            for chunk in chunks:
                file.write(chunk)
        sync_folder(path.parent)


def layout_tar(image: Image, *, reference: str) -> Iterator[bytes | memoryview]:
    """The archive's bytes, the same whenever and wherever: sorted, of the epoch, owned by root. A chunk is valid until
    the next one is asked for.

    Raises LayoutError or ReferenceInvalid at once; ChecksumMismatch or FileChanged before the archive's end, so that
    nobody takes it for whole.
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
    """No folders among them: who unpacks makes those as fits the place."""
    entry = index.entry(image, read_all(image.config), reference)
    older = [
        {
            "Config": _path(image.config),
            "RepoTags": [index.full_name(reference)],
            "Layers": [_path(layer) for layer in image.layers],
        }
    ]
    documents = {
        "oci-layout": index.MARKER,
        "index.json": index.index_of(entry),
        "manifest.json": index.canonical(older),  # docker save's own form, which Engines without OCI layouts read
    }
    blobs = {_path(blob): blob for blob in (*image.blobs, image.manifest)}
    return {**blobs, **{name: data_blob("application/json", data) for name, data in documents.items()}}


def _path(blob: Blob) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)
