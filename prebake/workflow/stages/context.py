"""Write the build's context: rendered text, code, and files linked from the store."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from prebake.checkpoints.store.store import Store
from prebake.io.atomic_write import replace_folder
from prebake.plan.values import ContextFile, content_time


def write_context(folder: Path, files: Iterable[ContextFile], store: Store) -> Path:
    """Write the whole context and replace the folder with it. A reader sees the old one or the new one, never a part.

    The time of a file follows from its content, that of a folder is the epoch; modes are fixed.
    """
    half = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for file in files:
        if file.sha256 is not None:
            store.link_into(half, file.path, file.sha256)
        else:
            _write(half / file.path, file.data or b"", 0o755 if file.executable else 0o644)
    for settings in [*half.rglob("bake/settings.json")]:  # the mount point of the checkpoint
        (settings.parents[1] / "checkpoint").mkdir(exist_ok=True)
    for path in half.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
            os.utime(path, (0, 0))
    replace_folder(half, folder)
    return folder


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (content_time(hashlib.sha256(data).hexdigest()),) * 2)
