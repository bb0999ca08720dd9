"""Make layer records from stored files, and layers from records."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.checkpoints.store.store import Store
from prebake.errors import BuildFailed
from prebake.oci.blobs.blobs import GZIP, LAYER, ZSTD, Blob, Descriptor
from prebake.oci.blobs.content import Content, FileContent
from prebake.oci.layers.compression import (
    Compression,
    FormChoice,
    choose_form,
    decide_form,
    digest_content,
    write_packed,
)
from prebake.oci.layers.tar import TarEntry, tar_content
from prebake.oci.layout.assembly import ImageLayer
from prebake.oci.records.layer_records import FileRecord, LayerRecord, Records
from prebake.spec.lock import LockedLayer
from prebake.workflow.layers.cache_lookup import BuildCache

MAX_DERIVED_LAYER_BYTES = 4 * 2**30
"""Largest layer of derived files: an interrupted pull loses no more than that."""


@dataclass(frozen=True)
class LayerStore:
    """Layers of the store's objects, and the cache with their records."""

    store: Store
    cache: BuildCache
    compression: Compression = "auto"

    def record_files(self, files: Sequence[FileRecord], folders: Sequence[str] = ()) -> LayerRecord:
        """The record of a layer of the store's objects. They are read once, and copied only if compression pays."""
        content = self._tar(files, folders)
        if content is None:
            raise ValueError("every file of the layer must be an object of the store")
        choice = choose_form(content, self.compression)
        if choice.form != "raw":
            return self._packed(content, choice)
        digest = digest_content(content)
        unpacked = sum(file.size for file in files)
        return LayerRecord(
            diff_id=digest,
            media_type=LAYER,
            digest=digest,
            size=content.size,
            reason=choice.reason,
            unpacked=unpacked,
            files=tuple(files),
            folders=tuple(folders),
        )

    def record_locked(self, locked: LockedLayer, files: Sequence[FileRecord]) -> LayerRecord | None:
        """The record of a layer that the lock describes; no file is opened. None if it is to be compressed."""
        choice = decide_form(locked.zstd_ratio, self.compression)
        if choice.form != "raw":
            return None
        unpacked = sum(file.size for file in files)
        return LayerRecord(
            diff_id=locked.digest,
            media_type=LAYER,
            digest=locked.digest,
            size=locked.size,
            reason=choice.reason,
            unpacked=unpacked,
            files=tuple(files),
        )

    def record_tree(self, entries: Iterable[TarEntry]) -> LayerRecord:
        """The record of a layer whose files are not kept one by one: its blob becomes an object of the store."""
        content = tar_content(entries)
        choice = choose_form(content, self.compression)
        return self._plain(content, choice.reason) if choice.form == "raw" else self._packed(content, choice)

    def record_blob(
        self, path: Path, media_type: str, diff_id: str, reason: str, unpacked: int | None = None
    ) -> LayerRecord:
        """The record of an existing blob; the file moves into the store."""
        content = FileContent.of(path)
        digest = digest_content(content)
        self.store.adopt(path, digest.removeprefix("sha256:"), content.size)
        return LayerRecord(
            diff_id=diff_id,
            media_type=media_type,
            digest=digest,
            size=content.size,
            reason=reason,
            unpacked=content.size if unpacked is None else unpacked,
        )

    def layer(self, record: LayerRecord, created_by: str, annotations: Mapping[str, str] | None = None) -> ImageLayer:
        """The layer for a manifest. Its content is None if neither the store nor a registry has it any more."""
        descriptor = Descriptor(record.media_type, record.digest, record.size, annotations or {})
        content = self._content(record) or self.cache.content(descriptor)
        return ImageLayer(Blob(descriptor, content), record.diff_id, created_by, record.unpacked)

    def known_files(self, key: str) -> tuple[FileRecord, ...] | None:
        """The files that a stage left under a key, if the store still has all of them."""
        return known_files(self.cache.records, self.store, key)

    def has_bytes(self, record: LayerRecord) -> bool:
        """Whether the store has its bytes."""
        return self._content(record) is not None

    def _content(self, record: LayerRecord) -> Content | None:
        if (path := self.store.get(record.digest.removeprefix("sha256:"), record.size)) is not None:
            return FileContent(path, record.size)
        return self._tar(record.files, record.folders) if record.files else None

    def _tar(self, files: Iterable[FileRecord], folders: Iterable[str]) -> Content | None:
        entries = [TarEntry(folder, "folder") for folder in folders]
        for file in files:
            path = self.store.get(file.sha256, file.size)
            if path is None:
                return None
            entries.append(TarEntry(file.path, content=FileContent(path, file.size)))
        return tar_content(entries)

    def _packed(self, content: Content, choice: FormChoice) -> LayerRecord:
        with self.store.folder() as folder:
            path = folder / "blob"
            with path.open("xb") as file:
                packed = write_packed(content, choice.form, file.write)
            self.store.adopt(path, packed.digest.removeprefix("sha256:"), packed.size)
        media_type = GZIP if choice.form == "gzip" else ZSTD
        return LayerRecord(
            diff_id=packed.diff_id,
            media_type=media_type,
            digest=packed.digest,
            size=packed.size,
            reason=choice.reason,
            unpacked=content.size,
        )

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
        return LayerRecord(
            diff_id=name, media_type=LAYER, digest=name, size=content.size, reason=reason, unpacked=content.size
        )


def known_files(records: Records, store: Store, key: str) -> tuple[FileRecord, ...] | None:
    """The files on record under a key, if the store still has all of them."""
    known = records.files(key)
    has = known is not None and all(store.get(file.sha256, file.size) is not None for file in known)
    return known if has else None


def split_files(files: Iterable[FileRecord], limit: int = MAX_DERIVED_LAYER_BYTES) -> list[list[FileRecord]]:
    """Groups in the order of paths, of at most ``limit`` bytes; a larger file is a group of its own."""
    groups: list[list[FileRecord]] = []
    size = 0
    for file in sorted(files, key=lambda file: file.path):
        if not groups or size + file.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return groups


def store_tree(folder: Path, store: Store, prefix: str = "") -> tuple[FileRecord, ...]:
    """Move every file of a tree into the store; returns their records, with ``prefix`` before their paths.

    Raises BuildFailed for anything but files and folders: the builder would follow a symbolic link that a stage left to a file
    of its own machine.
    """
    paths = sorted(folder.rglob("*"))
    if strange := [path for path in paths if not _is_plain(path)]:
        names = ", ".join(path.relative_to(folder).as_posix() for path in strange)
        raise BuildFailed(
            f"A stage wrote entries that are neither files nor folders: {names}.",
            next_action="change export.py to write files; Prebake does not follow symbolic links",
        )
    found = []
    for path in (path for path in paths if path.is_file()):
        content = FileContent.of(path)
        sha256 = digest_content(content).removeprefix("sha256:")
        name = os.path.join(prefix, path.relative_to(folder).as_posix())  # noqa: PTH118  (a path in the image)
        store.adopt(path, sha256, content.size)
        found.append(FileRecord(name, sha256, content.size))
    return tuple(found)


def _is_plain(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def detect_media_type(path: Path) -> str:
    """A layer file's media type, by its first bytes (RFC 1952, RFC 8878)."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        return GZIP
    return ZSTD if start == b"\x28\xb5\x2f\xfd" else LAYER
