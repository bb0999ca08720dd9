"""The one layer of the Debian base image: the files of a bootstrapped tree that an image needs, with reproducible bytes."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from prebake.oci.blobs.blobs import GZIP, Blob, Descriptor
from prebake.oci.blobs.content import FileContent
from prebake.oci.layers.compression import write_packed
from prebake.oci.layout.assembly import ImageLayer


def write_base_layer(source: IO[bytes], folder: Path, keeps: Callable[[str], bool], *, created_by: str) -> ImageLayer:
    """The layer of those members of the tar ``source`` whose absolute paths ``keeps`` accepts. Its file is ``layer.tar.gz`` in
    ``folder``; ``source`` has to be seekable."""
    plain, packed = folder / "layer.tar", folder / "layer.tar.gz"
    with plain.open("wb") as target:
        unpacked = filter_tar(source, target, keeps)
    with packed.open("wb") as target:
        written = write_packed(FileContent.of(plain), "gzip", target.write)
    blob = Blob(Descriptor(GZIP, written.digest, written.size), FileContent.of(packed))
    return ImageLayer(blob=blob, diff_id=written.diff_id, created_by=created_by, unpacked=unpacked)


def filter_tar(source: IO[bytes], target: IO[bytes], keeps: Callable[[str], bool]) -> int:
    """Copy the members that ``keeps`` accepts, sorted by name. Returns the bytes of their files.

    ``prebake.oci.layers.tar`` does not fit here: it makes every file read-only and root's, and has no hard links, while Debian's
    files keep their modes and owners. Times, names of owners, set-user-id bits and extended attributes are dropped.
    """
    with (
        tarfile.open(fileobj=source) as tree,
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as layer,
    ):
        members = [member for member in tree if keeps("/" + member.name.strip("./"))]
        for member in sorted(members, key=lambda member: member.name):
            layer.addfile(_clean(member), tree.extractfile(member) if member.isreg() else None)
    return sum(member.size for member in members if member.isreg())


def _clean(member: tarfile.TarInfo) -> tarfile.TarInfo:
    clean = tarfile.TarInfo(member.name.removeprefix("./") or ".")
    clean.type, clean.size = member.type, member.size
    clean.linkname = member.linkname if member.issym() else member.linkname.removeprefix("./")
    clean.mode = member.mode & (0o7777 if member.isdir() else 0o777)
    clean.uid, clean.gid = member.uid, member.gid
    return clean
