"""Are the files of the image what the manifest says? Sizes of all at once; and how the content of one is digested."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from entrypoints.faults import DamagedFile, MissingFile
from entrypoints.manifest import NAME, File

PIECE = 4 * 1024 * 1024
"""Bytes read and hashed at a time: about 3 ms without the interpreter's lock, which every piece has to wait for."""


def check_sizes(models: Path, files: Mapping[str, File]) -> None:
    """Raises MissingFile or DamagedFile, naming every file that is not there, not readable, or of another size.

    A size of 0 is what an unclean shutdown after a pull leaves in layers held valid (containerd #10284).
    """
    missing, damaged = [], []
    for name, file in files.items():
        try:
            found = (models / name).stat().st_size
            readable = os.access(models / name, os.R_OK)
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
            continue
        if not readable:
            missing.append(f"{name}: not readable by user {os.getuid()}")
        if found != file.size:
            how = "truncated" if found < file.size else "longer"
            damaged.append(f"{name}: {how}, the manifest says {file.size} bytes, found {found}")
    if missing or damaged:
        raise (MissingFile if missing else DamagedFile)(missing + damaged)


def list_extra(models: Path, files: Collection[str]) -> list[str]:
    """Files that the manifest does not list. They harm nothing, as nothing opens them, but they were not baked."""
    folders = ((Path(folder).relative_to(models), names) for folder, _, names in os.walk(models))
    found = ((folder / name).as_posix() for folder, names in folders for name in names)
    return sorted(name for name in found if name not in files and name != NAME)


def make_buffer() -> memoryview:
    """``PIECE`` bytes that the kernel clears when the first read fills them, in a thread without the interpreter's lock.

    A bytearray is cleared here and now with the lock held: 16 MiB took 10 ms of every import beside it.
    """
    return memoryview(mmap.mmap(-1, PIECE))


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def find_xxh3() -> Callable[[], Digest] | None:
    """Damage is found by it as surely as by sha256, with a tenth of the work (docs/decisions/0019). None where an image's
    requirements leave the package out."""
    try:
        from xxhash import xxh3_128
    except ImportError:
        return None
    return xxh3_128


def hash_file(path: Path, buffer: memoryview, digest: Digest) -> str:
    """The file's digest in hexadecimal. Read rather than mapped: a bad disk is then an OSError and not a killed process."""
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
