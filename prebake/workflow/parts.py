"""Layers on record: made once, kept by their key, and given bytes again from the store where it still has them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.checkpoints.store import Store
from prebake.oci.assembly import Layer
from prebake.oci.blobs import GZIP, LAYER, ZSTD, Blob, Descriptor
from prebake.oci.compression import Choice, Compression, choose, decide, digest_of, write_packed
from prebake.oci.content import Content, FileContent
from prebake.oci.records import FileRecord, LayerRecord
from prebake.oci.tar import Entry, tar_of
from prebake.spec.lock import LockedLayer
from prebake.workflow.library import Library

SPLIT = 4 * 2**30
"""Bytes of derived data in a layer at most: a pull that breaks off loses no more than that."""


@dataclass(frozen=True)
class Parts:
    """Where layers come from: the store's objects, and the records of what keys became."""

    store: Store
    library: Library
    compression: Compression = "auto"

    def of_files(self, files: Sequence[FileRecord], folders: Sequence[str] = ()) -> LayerRecord:
        """The record of a layer of the store's objects: they are read once, and copied only where packing pays."""
        content = self._tar(files, folders)
        if content is None:
            raise ValueError("a layer is made of objects that the store has")
        choice = choose(content, self.compression)
        if choice.form != "raw":
            return self._packed(content, choice)
        digest = digest_of(content)
        unpacked = sum(file.size for file in files)
        return LayerRecord(digest, LAYER, digest, content.size, choice.reason, unpacked, tuple(files), tuple(folders))

    def of_lock(self, locked: LockedLayer, files: Sequence[FileRecord]) -> LayerRecord | None:
        """The record of a layer that the lock describes, no file being opened; None where it is to be packed."""
        choice = decide(locked.packed, self.compression)
        if choice.form != "raw":
            return None
        unpacked = sum(file.size for file in files)
        return LayerRecord(locked.digest, LAYER, locked.digest, locked.size, choice.reason, unpacked, tuple(files))

    def of_tree(self, entries: Iterable[Entry]) -> LayerRecord:
        """The record of a layer whose files nobody needs one by one: the blob itself becomes an object."""
        content = tar_of(entries)
        choice = choose(content, self.compression)
        return self._plain(content, choice.reason) if choice.form == "raw" else self._packed(content, choice)

    def of_blob(self, path: Path, media_type: str, diff: str, reason: str, unpacked: int | None = None) -> LayerRecord:
        """The record of a layer that is a blob already; the file moves into the store."""
        content = FileContent.of(path)
        digest = digest_of(content)
        self.store.adopt(path, digest.removeprefix("sha256:"), content.size)
        return LayerRecord(
            diff, media_type, digest, content.size, reason, content.size if unpacked is None else unpacked
        )

    def layer(self, record: LayerRecord, created_by: str, annotations: Mapping[str, str] | None = None) -> Layer:
        """A layer for a manifest; its content is None where neither the store nor a registry has it any more."""
        descriptor = Descriptor(record.media_type, record.digest, record.size, annotations or {})
        content = self._content(record) or self.library.content(descriptor)
        return Layer(Blob(descriptor, content), record.diff, created_by, record.unpacked)

    def is_here(self, record: LayerRecord) -> bool:
        """Whether the store has its bytes."""
        return self._content(record) is not None

    def _content(self, record: LayerRecord) -> Content | None:
        if (path := self.store.get(record.digest.removeprefix("sha256:"), record.size)) is not None:
            return FileContent(path, record.size)
        return self._tar(record.files, record.folders) if record.files else None

    def _tar(self, files: Iterable[FileRecord], folders: Iterable[str]) -> Content | None:
        entries = [Entry(folder, "folder") for folder in folders]
        for file in files:
            path = self.store.get(file.sha256, file.size)
            if path is None:
                return None
            entries.append(Entry(file.path, content=FileContent(path, file.size)))
        return tar_of(entries)

    def _packed(self, content: Content, choice: Choice) -> LayerRecord:
        with self.store.folder() as folder:
            path = folder / "blob"
            with path.open("xb") as file:
                packed = write_packed(content, choice.form, file.write)
            self.store.adopt(path, packed.digest.removeprefix("sha256:"), packed.size)
        media_type = GZIP if choice.form == "gzip" else ZSTD
        return LayerRecord(packed.diff, media_type, packed.digest, packed.size, choice.reason, content.size)

    def _plain(self, content: Content, reason: str) -> LayerRecord:
        with self.store.folder() as folder:
            path = folder / "blob"
            digest = hashlib.sha256()
            with path.open("xb") as file:
                for chunk in content.chunks():
                    digest.update(chunk)
                    file.write(chunk)
            self.store.adopt(path, digest.hexdigest(), content.size)
        name = f"sha256:{digest.hexdigest()}"
        return LayerRecord(name, LAYER, name, content.size, reason, content.size)


def split_files(files: Iterable[FileRecord], limit: int = SPLIT) -> list[list[FileRecord]]:
    """Groups in the order of paths, none above ``limit`` bytes but for a file that is larger by itself."""
    groups: list[list[FileRecord]] = []
    size = 0
    for file in sorted(files, key=lambda file: file.path):
        if not groups or size + file.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return groups


def keep_tree(folder: Path, store: Store, prefix: str = "") -> tuple[FileRecord, ...]:
    """Move every file of a tree into the store; their paths, with ``prefix`` in front."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = FileContent.of(path)
        sha256 = digest_of(content).removeprefix("sha256:")
        name = os.path.join(prefix, path.relative_to(folder).as_posix())  # noqa: PTH118  (a path in the image)
        store.adopt(path, sha256, content.size)
        found.append(FileRecord(name, sha256, content.size))
    return tuple(found)


def media_type_of(path: Path) -> str:
    """A layer file's media type, by its first bytes (RFC 1952, RFC 8878)."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        return GZIP
    return ZSTD if start == b"\x28\xb5\x2f\xfd" else LAYER
