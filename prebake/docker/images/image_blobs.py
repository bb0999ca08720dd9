"""An image of the Engine as a push sends it: its manifest, its config, and its layers as they are stored at a registry."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.errors import EngineError
from prebake.oci.blobs.blobs import (
    CONFIG,
    LAYER,
    MANIFEST,
    ZSTD,
    Blob,
    Descriptor,
    Image,
    data_blob,
    make_image,
    sha256_digest,
)
from prebake.oci.blobs.content import FileContent
from prebake.oci.layers.compression import choose_form, write_packed
from prebake.oci.layout.archive import DOCKER_SAVE_MANIFEST

_CHUNK_BYTES = 1 << 20


def read_image(connection: Connection, reference: str, folder: Path) -> Image:
    """The image's blobs as files in ``folder``. Images that share layers may share the folder. See ``read_archive``.

    Raises EngineError if the Engine has no such image.
    """
    digest = inspect_image(connection, reference).digest
    with closing(connection.client()) as client:
        try:
            chunks = client.api.get_image(reference, chunk_size=_CHUNK_BYTES)
            return read_archive(chunks, digest, folder)
        except (ImageNotFound, APIError) as error:
            raise EngineError(
                f"The Engine does not save {reference}: {error}.", next_action="build it first"
            ) from error


def read_archive(chunks: Iterable[bytes | memoryview], digest: str, folder: Path) -> Image:
    """The image of an archive of ``docker save``. ``digest`` is the image's name at the Engine (``Id``).

    An Engine with containerd's image store keeps the blobs as they came; then manifest and digests are those at the registry. Any
    other Engine keeps unpacked layers only: they are compressed as a build compresses them (``choose_form``).

    Raises EngineError if the archive lacks a part of the image.
    """
    files = _unpack(chunks, folder)
    try:
        entry = json.loads(files[DOCKER_SAVE_MANIFEST].read_bytes())[0]
        config = files[entry["Config"]].read_bytes()
        if digest == sha256_digest(config):  # without containerd's store, an image's name is its config's digest
            return _pack(config, [files[name] for name in entry["Layers"]], folder)
        return _stored(_find_manifest(files, sha256_digest(config)), files)
    except KeyError as missing:
        raise EngineError(
            f"The Engine's archive of the image {digest} has no {missing.args[0]}.",
            next_action="build or pull the image again",
        ) from missing


def _stored(manifest: bytes, files: Mapping[str, Path]) -> Image:
    document = json.loads(manifest)
    config, *layers = (_blob(Descriptor.read(each), files) for each in (document["config"], *document["layers"]))
    return Image(data_blob(document.get("mediaType", MANIFEST), manifest), config, tuple(layers))


def _blob(descriptor: Descriptor, files: Mapping[str, Path]) -> Blob:
    return Blob(descriptor, FileContent.of(files[_name(descriptor.digest)]))


def _find_manifest(files: Mapping[str, Path], config: str) -> bytes:
    """The manifest of the image with this config, which indexes may name through several levels."""
    pending = [json.loads(files["index.json"].read_bytes())]
    while pending:
        for entry in pending.pop().get("manifests") or ():
            path = files.get(_name(entry["digest"]))  # the Engine has only some platforms of an index
            data = path.read_bytes() if path else b"{}"
            document = json.loads(data)
            if (document.get("config") or {}).get("digest") == config:
                return data
            pending.append(document)
    raise KeyError(f"manifest of the config {config}")


def _pack(config: bytes, layers: list[Path], folder: Path) -> Image:
    blobs = [_pack_layer(path, diff_id, folder) for path, diff_id in zip(layers, _diff_ids(config), strict=True)]
    return make_image(data_blob(CONFIG, config), blobs)


def _pack_layer(path: Path, diff_id: str, folder: Path) -> Blob:
    content = FileContent.of(path)
    form = choose_form(content, "auto").form
    if form == "raw":
        return Blob(Descriptor(LAYER, diff_id, content.size), content)
    target = folder / f"{diff_id.replace(':', '-')}.{form}"
    with target.open("wb") as file:
        packed = write_packed(content, form, file.write)
    return Blob(Descriptor(ZSTD, packed.digest, packed.size), FileContent.of(target))


def _diff_ids(config: bytes) -> list[str]:
    return list(json.loads(config)["rootfs"]["diff_ids"])


def _unpack(chunks: Iterable[bytes | memoryview], folder: Path) -> dict[str, Path]:
    """The archive's files by their names in it. Blobs that the folder has are not written again."""
    files: dict[str, Path] = {}
    stream = io.BufferedReader(_Chunks(iter(chunks)), _CHUNK_BYTES)
    with tarfile.open(fileobj=stream, mode="r|") as tree:
        for member in tree:
            if member.isreg():
                files[member.name] = _keep(tree, member, folder)
            elif member.issym() or member.islnk():  # an older Engine links equal layers
                files[member.name] = files[_target(member)]
    return files


def _keep(tree: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> Path:
    path = folder / member.name.replace("/", "-")
    by_digest = member.name.startswith("blobs/")
    if not (by_digest and path.exists() and path.stat().st_size == member.size):
        source = tree.extractfile(member) or io.BytesIO()
        with source, path.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
    return path


def _target(member: tarfile.TarInfo) -> str:
    parts = Path(member.name).parent.parts if member.issym() else ()
    for part in Path(member.linkname).parts:
        parts = parts[:-1] if part == ".." else (*parts, part)
    return "/".join(parts)


def _name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file to read."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
