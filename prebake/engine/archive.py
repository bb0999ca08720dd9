"""An image of one layer as a file that every Engine loads under the same digest: an OCI layout, with a manifest for
older ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

EPOCH = "1970-01-01T00:00:00Z"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Layer:
    """A gzipped layer on disk. ``diff`` and ``digest`` are ``sha256:…`` of the plain tar and of the file; sizes in
    bytes."""

    file: Path
    diff: str
    digest: str
    size: int
    unpacked: int


def write_layer(source: IO[bytes], target: Path, keeps: Callable[[str], bool]) -> Layer:
    """Copy a tar into a deterministic, gzipped one: the members that ``keeps`` (of their absolute path) says, sorted,
    with epoch times, numeric owners, no set-user-id bits and no extended attributes. ``source`` must be seekable."""
    with tarfile.open(fileobj=source) as tree, target.open("wb") as file:
        members = sorted(
            (member for member in tree if keeps("/" + member.name.strip("./"))), key=lambda member: member.name
        )
        packed = _Hashed(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as zipped:
            plain = _Hashed(zipped)
            with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as layer:
                for member in members:
                    layer.addfile(_clean(member), tree.extractfile(member) if member.isreg() else None)
    unpacked = sum(member.size for member in members if member.isreg())
    return Layer(target, plain.digest, packed.digest, packed.written, unpacked)


def write_archive(
    layer: Layer, target: Path, *, reference: str, config: Mapping[str, Any], architecture: str, made_by: str
) -> str:
    """Write the image archive and return the digest of its manifest. ``config`` holds ``Env``, ``Cmd`` and so on."""
    image = _canonical(
        {
            "architecture": architecture,
            "os": "linux",
            "created": EPOCH,
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff]},
            "history": [{"created": EPOCH, "created_by": made_by}],
        }
    )
    manifest = _canonical(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(image), "size": len(image)},
            "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size}],
        }
    )
    entry = {"mediaType": _MANIFEST, "digest": _digest(manifest), "size": len(manifest)}
    older = [{"Config": _blob(_digest(image)), "RepoTags": [reference], "Layers": [_blob(layer.digest)]}]
    files = {
        "oci-layout": _canonical({"imageLayoutVersion": "1.0.0"}),
        "index.json": _canonical({"schemaVersion": 2, "manifests": [entry]}),
        "manifest.json": _canonical(older),
        _blob(_digest(image)): image,
        _blob(_digest(manifest)): manifest,
    }
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            archive.addfile(_file(name, len(content)), io.BytesIO(content))
        with layer.file.open("rb") as packed:
            archive.addfile(_file(_blob(layer.digest), layer.size), packed)
    return _digest(manifest)


def read_digest(archive: Path) -> str:
    """The digest of the image in an archive that ``write_archive`` wrote."""
    with tarfile.open(archive) as files:
        index = files.extractfile("index.json") or io.BytesIO(b"{}")
        return str(json.load(index)["manifests"][0]["digest"])


def _clean(member: tarfile.TarInfo) -> tarfile.TarInfo:
    clean = tarfile.TarInfo(member.name.removeprefix("./") or ".")
    clean.type, clean.size, clean.linkname = member.type, member.size, member.linkname.removeprefix("./")
    if member.issym():
        clean.linkname = member.linkname
    clean.mode = member.mode & (0o7777 if member.isdir() else 0o777)
    clean.uid, clean.gid = member.uid, member.gid
    return clean


def _file(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _canonical(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


class _Hashed(io.RawIOBase):
    """Passes on what is written, and knows its digest and length."""

    def __init__(self, to: IO[bytes] | gzip.GzipFile) -> None:
        self._to = to
        self._sum = hashlib.sha256()
        self.written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: Any) -> int:
        self._sum.update(data)
        self.written += len(data)
        self._to.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return "sha256:" + self._sum.hexdigest()
