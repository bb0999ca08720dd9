"""The content-addressed store: it has every weight file once, under its sha256. An object never changes.

``sha256/ab/<hex>`` holds the objects (mode 0444, a time that follows from the content), ``partial/`` downloads that can be
resumed, ``temp/`` copies in progress, ``locks/`` one empty file for each key. An object gets its name by rename, so even kill -9
leaves no half-written object.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prebake.checkpoints.store.checksums import expect_sha256
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.errors import SourceError
from prebake.io.atomic_write import publish_file
from prebake.io.cache_folder import cache_folder
from prebake.io.disk_space import free_bytes, require_room, translate_full_disk
from prebake.io.file_copy import clone, link_or_copy, read_blocks
from prebake.io.file_lock import hold_lock, try_lock, wait_silently
from prebake.plan.values import content_time


@dataclass(frozen=True)
class StoredObject:
    """An object of the store; ``size`` in bytes."""

    sha256: str
    size: int
    path: Path


@dataclass(frozen=True)
class DamagedObject:
    """An object whose bytes no longer have the digest of its name."""

    sha256: str
    found: str
    path: Path


def default_root() -> Path:
    """The folder ``store`` of the cache folder: ``$PREBAKE_CACHE/store``, by default ``~/.cache/prebake/store``."""
    return cache_folder() / "store"


class Store:
    """A store under ``root``. ``free`` returns the free bytes of its disk."""

    def __init__(self, root: Path, *, free: Callable[[Path], int] = free_bytes) -> None:
        self.root = root
        self._free = free
        for folder in ("sha256", "partial", "temp", "locks"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def place(self, sha256: str) -> Path:
        """The path of the object, whether it exists or not."""
        return self.root / "sha256" / sha256[:2] / sha256

    def get(self, sha256: str, size: int | None = None) -> Path | None:
        """The object's path, or None. An object of another size than ``size`` is damaged and counts as missing."""
        path = self.place(sha256)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            return None
        return path if size is None or found == size else None

    def lock(self, key: str, waiting: Callable[[], None] = wait_silently) -> AbstractContextManager[int]:
        """Lock the object or origin ``key`` against other processes and threads."""
        return hold_lock(self.root / "locks" / key, waiting)

    def in_use(self) -> AbstractContextManager[int]:
        """During the block no process prunes objects. Several processes may hold this at a time."""
        return hold_lock(self.root / "locks" / "use", wait_silently, shared=True)

    def unused(self, waiting: Callable[[], None] = wait_silently) -> AbstractContextManager[int]:
        """During the block no other process uses the store. ``waiting`` is called while one does, and may raise."""
        return hold_lock(self.root / "locks" / "use", waiting)

    def partial_path(self, key: str) -> Path:
        return self.root / "partial" / key

    def require_room(self, needed: int) -> None:
        """Raise NoRoom unless ``needed`` bytes fit."""
        require_room(self.root, needed, what="the checkpoint", free=self._free)

    def add_stream(self, chunks: Iterable[bytes], *, sha256: str | None, name: str, origin: str) -> StoredObject:
        """Store a stream. Raises ChecksumMismatch, and keeps nothing, if its digest is not ``sha256``; NoRoom."""
        with self._temp() as path:
            digest, size = self._write(path, chunks)
            expect_sha256(name, sha256, digest, origin=origin)
            return self._admit(path, digest, size)

    def add_file(self, source: Path, *, sha256: str | None = None, name: str | None = None) -> StoredObject:
        """Store a copy of a file (a reflink if the file system has them: two files that share blocks).

        Never a hard link: the owner may edit the file later. Raises as ``add_stream`` does.
        """
        if sha256 is not None and (path := self.get(sha256, source.stat().st_size)) is not None:
            return StoredObject(sha256, path.stat().st_size, path)
        with self._temp() as path, source.open("rb") as stream:
            if clone(source, path):
                with path.open("rb") as copy:
                    digest, size = _hash(read_blocks(copy))
            else:
                digest, size = self._write(path, read_blocks(stream))
            expect_sha256(name or str(source), sha256, digest, origin=str(source))
            return self._admit(path, digest, size)

    def adopt(self, path: Path, sha256: str, size: int) -> StoredObject:
        """Move a finished file of ``folder()`` into the store, under the digest that its writer computed."""
        return self._admit(path, sha256, size)

    def add_partial(self, partial: PartialFile) -> StoredObject:
        """Move a finished download into the store, under its digest."""
        partial.sync()
        stored = self._admit(partial.path, partial.sha256, partial.done)
        partial.discard()  # its tag; the file itself has moved
        return stored

    def link_into(self, folder: Path, path: str, sha256: str) -> Path:
        """Put the object at ``folder/path``: a hard link, or a copy if the folder is on another file system.

        Raises SourceError if the path leaves the folder, or if the object is not in the store.
        """
        target = folder / _inside(path)
        source = self.get(sha256)
        if source is None:
            raise SourceError(
                f"{path} (sha256 {sha256}) is not in the store {self.root}.", next_action="fetch the checkpoint again"
            )
        _set_form(source, sha256)
        if target.exists() and target.samefile(source):
            return target
        temp = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            link_or_copy(source, temp)
            temp.replace(target)
        finally:
            temp.unlink(missing_ok=True)
        return target

    def verify(self) -> Iterator[DamagedObject]:
        """Hash every object again and yield those that changed. Reads the whole store."""
        for path in sorted((self.root / "sha256").glob("??/*")):
            if (damage := self.damage(path.name)) is not None:
                yield damage

    def damage(self, sha256: str) -> DamagedObject | None:
        """Hash one object again. None if its digest is its name, or if it is gone."""
        path = self.place(sha256)
        try:
            with path.open("rb") as stream:
                found, _ = _hash(read_blocks(stream))
        except FileNotFoundError:
            return None
        return None if found == sha256 else DamagedObject(sha256, found, path)

    def drop(self, sha256: str) -> None:
        """Remove an object; folders that it was linked into keep it."""
        self.place(sha256).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove files in ``temp/`` that killed processes left: those whose lock is free."""
        with self.lock("temp"):
            for path in (self.root / "temp").iterdir():
                with suppress(FileNotFoundError), _opened(path) as descriptor:
                    if try_lock(descriptor):
                        _remove(path)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A temporary folder on the store's file system. Raises NoRoom if the disk becomes full meanwhile."""
        with translate_full_disk(self.root), self._temp(lambda path: path.mkdir()) as path:
            yield path

    @contextmanager
    def _temp(self, make: Callable[[Path], None] = lambda path: path.touch(exist_ok=False)) -> Iterator[Path]:
        path = self.root / "temp" / f"{os.getpid()}-{os.urandom(8).hex()}"
        with ExitStack() as held:
            with self.lock("temp"), translate_full_disk(self.root):
                make(path)
                held.callback(_remove, path)
                try_lock(held.enter_context(_opened(path)))  # so that sweep() does not remove it
            yield path

    def _write(self, path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
        with translate_full_disk(self.root), path.open("r+b") as stream:
            digest, size = _hash(chunks, stream.write)
        return digest, size

    def _admit(self, path: Path, sha256: str, size: int) -> StoredObject:
        place = self.place(sha256)
        place.parent.mkdir(exist_ok=True)
        _set_form(path, sha256)
        publish_file(path, place)
        return StoredObject(sha256, size, place)


def _inside(path: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise SourceError(
            f"The path {path!r} leaves the checkpoint's folder.", next_action="correct it in image.yaml and lock again"
        )
    return relative


def _hash(chunks: Iterable[bytes], write: Callable[[bytes], int] | None = None) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        if write is not None:
            write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The descriptor of a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _set_form(path: Path, sha256: str) -> None:
    """Set the mode and time that layers have. A link shares both with the object, so the user of a link may change them."""
    form = path.stat()
    if (form.st_mode & 0o7777, form.st_mtime_ns) != (0o444, content_time(sha256) * 10**9):
        path.chmod(0o444)
        os.utime(path, (content_time(sha256),) * 2)
