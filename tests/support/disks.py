"""Disks that are soon full, and folders that nobody may write to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk_of(size: str, folder: Path) -> Iterator[Path]:
    """A file system of that size, ``4m``, at ``folder`` for the length of a block: a tmpfs, which needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A folder, and all that it holds, as a read-only file system for the length of a block: root may not write there either."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield folder
    finally:
        # Lazily: the processes of a container that has just been stopped may still have its files open.
        subprocess.run(["umount", "--lazy", folder], check=True)
