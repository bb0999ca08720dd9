"""Links and copies of files, without reading more than is needed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from prebake.io.disk_space import translate_full_disk

_BLOCK_BYTES = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: a reflink (btrfs, XFS)


def read_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """The rest of a stream in blocks of 1 MiB."""
    while block := stream.read(_BLOCK_BYTES):
        yield block


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link if the file system allows one, else a copy with the same mode and time. ``target`` must not exist; the
    folders above it are made.

    Raises NoRoom, and leaves no half copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, one without hard links, or too many links to one file
        with translate_full_disk(target.parent):
            _copy(source, target)


def clone(source: Path, target: Path) -> bool:
    """Reflink ``source`` over the existing file ``target``: they share blocks until one is written to. False if the file
    system cannot."""
    with source.open("rb") as original, target.open("r+b") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            return False
    return True


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copy2(source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
