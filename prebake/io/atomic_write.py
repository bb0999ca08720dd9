"""Files that get their names only when they are whole and on the disk.

After a crash, a kill or a full disk a path names either the old file or the new one. What a killed writer leaves is a file
that begins with ``PREFIX``; the next writer in that folder removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from prebake.io.file_lock import try_lock

PREFIX = ".prebake-new-"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole small file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    with new_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8."""
    write_bytes(path, text.encode())


@contextmanager
def new_file(target: Path, folder: Path | None = None) -> Iterator[IO[bytes]]:
    """A file that becomes ``target`` if the block ends without an exception, and is removed otherwise.

    It is written in ``folder``, by default the target's; both have to be on one file system.
    """
    path, file = _create(folder or target.parent)
    try:
        with file:
            yield file
            file.flush()
            publish_file(path, target)
    finally:
        path.unlink(missing_ok=True)


def publish_file(path: Path, target: Path) -> None:
    """Rename a finished file to ``target``: first its bytes are brought to the disk, then its name."""
    _sync(path)
    path.replace(target)
    _sync(target.parent)


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Replace existing files, each with its owner and mode: all of them, or none if one of them cannot be replaced.

    The new and the old bytes of every file are on the disk before the first rename, so undoing needs renames alone. A kill
    between two renames leaves some files replaced and others not; each file is whole. Links have to be resolved by the caller.
    """
    with ExitStack() as staged, ExitStack() as undo:
        new = {target: staged.enter_context(_staged_file(target, data)) for target, data in contents.items()}
        old = {target: staged.enter_context(_staged_file(target, target.read_bytes())) for target in contents}
        for target, path in new.items():
            undo.callback(old[target].replace, target)
            path.replace(target)
        for folder in {target.parent for target in contents}:
            _sync(folder)
        undo.pop_all()  # the files stay replaced


@contextmanager
def _staged_file(target: Path, data: bytes) -> Iterator[Path]:
    """A file beside ``target`` with these bytes and the target's owner and mode, on the disk; removed after the block."""
    path, file = _create(target.parent)
    try:
        with file:
            status = target.stat()
            with suppress(PermissionError):  # a user who is not root cannot give files away
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield path
    finally:
        path.unlink(missing_ok=True)


def replace_folder(new: Path, target: Path) -> None:
    """Rename the finished folder ``new`` to ``target``, and remove the folder that had this name.

    A folder cannot be renamed over another, so ``target`` is missing for a moment between two renames. It is never half one
    folder and half the other.
    """
    old = target.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of killed writers: those whose lock nobody holds."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError), path.open("r+b") as file:
            if try_lock(file.fileno()):
                path.unlink()


def _create(folder: Path) -> tuple[Path, IO[bytes]]:
    """A file with a lock that ``remove_unfinished`` respects. It may remove one between its creation and its lock; then another
    is created."""
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}"
        file = path.open("xb")
        try:
            locked = try_lock(file.fileno())
        except OSError:  # a file system without locks, where remove_unfinished cannot lock either
            return path, file
        if locked and os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()


def _sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
