"""The content-addressed store: every weight file once, under its sha256, never changed after it has its name.

``sha256/ab/<hex>`` holds the objects (mode 0444, a time that follows
from the content), ``partial/`` downloads that can go on, ``temp/`` copies in
progress, ``locks/`` one empty file a key. Objects get their names by rename, so kill -9 leaves none half written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prebake.checkpoints.copying import clone, read_blocks
from prebake.checkpoints.locks import hold, try_lock
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_sha256
from prebake.disk import cache_folder, free_bytes, name_full_disk, require_room
from prebake.errors import SourceError
from prebake.plan.values import content_time


@dataclass(frozen=True)
class Stored:
    """An object of the store; ``size`` in bytes."""

    sha256: str
    size: int
    path: Path


@dataclass(frozen=True)
class Damage:
    """An object whose bytes are no longer those of its name."""

    sha256: str
    found: str
    path: Path


def default_root() -> Path:
    """The folder ``store`` of the cache folder: ``$PREBAKE_CACHE/store``, by default ``~/.cache/prebake/store``."""
    return cache_folder() / "store"


def nobody_waits() -> None:
    """The ``waiting`` of callers that have nobody to tell."""


class Store:
    """A store under ``root``; ``free`` tells the bytes left there."""

    def __init__(self, root: Path, *, free: Callable[[Path], int] = free_bytes) -> None:
        self.root = root
        self._free = free
        for folder in ("sha256", "partial", "temp", "locks"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def place(self, sha256: str) -> Path:
        """Where the object lies, or would lie."""
        return self.root / "sha256" / sha256[:2] / sha256

    def get(self, sha256: str, size: int | None = None) -> Path | None:
        """The object's path, or None. One of another size than ``size`` is damaged and counts as missing."""
        path = self.place(sha256)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            return None
        return path if size is None or found == size else None

    def lock(self, key: str, waiting: Callable[[], None] = nobody_waits) -> AbstractContextManager[None]:
        """Hold the object or origin called ``key`` against other processes and threads."""
        return hold(self.root / "locks" / key, waiting)

    def in_use(self) -> AbstractContextManager[None]:
        """While the block lasts, nobody prunes objects: it counts on those that it found. Many may at a time."""
        return hold(self.root / "locks" / "use", nobody_waits, shared=True)

    def unused(self, waiting: Callable[[], None] = nobody_waits) -> AbstractContextManager[None]:
        """While the block lasts, nobody else uses the store; ``waiting`` is called while somebody does, and may raise."""
        return hold(self.root / "locks" / "use", waiting)

    def partial_path(self, key: str) -> Path:
        return self.root / "partial" / key

    def require_room(self, needed: int) -> None:
        """Raise NoRoom unless ``needed`` bytes fit."""
        require_room(self.root, needed, what="the checkpoint", free=self._free)

    def add_stream(self, chunks: Iterable[bytes], *, sha256: str | None, name: str, origin: str) -> Stored:
        """Store what arrives. Raises ChecksumMismatch, keeping nothing, when it is not ``sha256``; NoRoom."""
        with self._temp() as path:
            digest, size = self._write(path, chunks)
            expect_sha256(name, sha256, digest, origin=origin)
            return self._admit(path, digest, size)

    def add_file(self, source: Path, *, sha256: str | None = None, name: str | None = None) -> Stored:
        """Store a copy of a file (a reflink where the file system can: shared blocks, separate files).

        Never a hard link: the owner may edit the file later. Raises as ``add_stream`` does.
        """
        if sha256 is not None and (path := self.get(sha256, source.stat().st_size)) is not None:
            return Stored(sha256, path.stat().st_size, path)
        with self._temp() as path, source.open("rb") as stream:
            if clone(source, path):
                with path.open("rb") as copy:
                    digest, size = _hash(read_blocks(copy))
            else:
                digest, size = self._write(path, read_blocks(stream))
            expect_sha256(name or str(source), sha256, digest, origin=str(source))
            return self._admit(path, digest, size)

    def adopt(self, path: Path, sha256: str, size: int) -> Stored:
        """Take a finished file of ``folder()`` into the store, by rename, under the digest that its writer computed."""
        return self._admit(path, sha256, size)

    def add_partial(self, partial: Partial) -> Stored:
        """Give a finished download its name."""
        partial.sync()
        stored = self._admit(partial.path, partial.sha256, partial.done)
        partial.discard()  # its tag; the file itself has moved
        return stored

    def link_into(self, folder: Path, path: str, sha256: str) -> Path:
        """Put the object at ``folder/path``: a hard link, or a copy where the folder is on another file system.

        Raises SourceError for a path that leaves the folder, and when the object is not in the store.
        """
        target = folder / _inside(path)
        source = self.get(sha256)
        if source is None:
            raise SourceError(
                f"{path} (sha256 {sha256}) is not in the store {self.root}.", next_action="fetch the checkpoint again"
            )
        _set_form(source, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(source):
            return target
        temp = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            _link_or_copy(source, temp)
            temp.replace(target)
        finally:
            temp.unlink(missing_ok=True)
        return target

    def verify(self) -> Iterator[Damage]:
        """Hash every object again; yields those that changed. Reads the whole store."""
        for path in sorted((self.root / "sha256").glob("??/*")):
            if (damage := self.damage(path.name)) is not None:
                yield damage

    def damage(self, sha256: str) -> Damage | None:
        """Hash one object again; None where it is what its name says, or gone."""
        path = self.place(sha256)
        try:
            with path.open("rb") as stream:
                found, _ = _hash(read_blocks(stream))
        except FileNotFoundError:
            return None
        return None if found == sha256 else Damage(sha256, found, path)

    def drop(self, sha256: str) -> None:
        """Remove an object; folders that it was linked into keep it."""
        self.place(sha256).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes left in ``temp/``: what nobody holds the lock of."""
        with self.lock("temp"):
            for path in (self.root / "temp").iterdir():
                with suppress(FileNotFoundError), _opened(path) as descriptor:
                    if try_lock(descriptor):
                        _remove(path)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A temporary folder on the store's file system. Raises NoRoom where that becomes full meanwhile."""
        with name_full_disk(self.root), self._temp(lambda path: path.mkdir()) as path:
            yield path

    @contextmanager
    def _temp(self, make: Callable[[Path], None] = lambda path: path.touch(exist_ok=False)) -> Iterator[Path]:
        path = self.root / "temp" / f"{os.getpid()}-{os.urandom(8).hex()}"
        with ExitStack() as held:
            with self.lock("temp"), name_full_disk(self.root):
                make(path)
                held.callback(_remove, path)
                try_lock(held.enter_context(_opened(path)))  # says to sweep() that somebody still writes here
            yield path

    def _write(self, path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
        with name_full_disk(self.root), path.open("r+b") as stream:
            digest, size = _hash(chunks, stream.write)
        return digest, size

    def _admit(self, path: Path, sha256: str, size: int) -> Stored:
        place = self.place(sha256)
        place.parent.mkdir(exist_ok=True)
        _set_form(path, sha256)
        _sync(path)
        path.replace(place)
        _sync(place.parent)
        return Stored(sha256, size, place)


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


def _sync(path: Path) -> None:
    with _opened(path) as descriptor:
        os.fsync(descriptor)


def _set_form(path: Path, sha256: str) -> None:
    """Mode and time as layers are made of them. A link shares both with the object, so whoever has one may change them."""
    form = path.stat()
    if (form.st_mode & 0o7777, form.st_mtime_ns) != (0o444, content_time(sha256) * 10**9):
        path.chmod(0o444)
        os.utime(path, (content_time(sha256),) * 2)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, one without hard links, or too many links to one file
        with name_full_disk(target.parent):
            shutil.copyfile(source, target)
            target.chmod(0o444)
            os.utime(target, ns=(source.stat().st_mtime_ns,) * 2)
