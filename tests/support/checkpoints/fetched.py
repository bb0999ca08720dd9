"""Weights of two files: locked from a source, and fetched anew from the lock alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.source import Source
from prebake.checkpoints.store.store import Store
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import Source as Spec
from prebake.spec.lock import LockedCheckpoint
from tests.support.checkpoints.parts import Diary, some_bytes

MODEL, CONFIG = some_bytes(300_000), b"{}\n"


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def lock(store: Store, source: Source, *specs: Spec) -> LockedCheckpoint:
    checkpoint = Checkpoint(license=License(id="MIT"), sources=specs)
    return resolve(checkpoint, store, {specs[0].kind: source}, Diary())


def check_fetched_anew(locked_files: LockedCheckpoint, source: Source, kind: str, tmp_path: Path) -> None:
    """A second machine gets the same bytes from the lock alone."""
    other = Store(tmp_path / "other")
    fetch(locked_files.files, other, {kind: source}, Diary())
    assert {file.path: other.place(file.sha256).read_bytes() for file in locked_files.files} == {
        "clap/config.json": CONFIG,
        "clap/model.safetensors": MODEL,
    }
    assert list((other.root / "partial").iterdir()) == []
    assert list((other.root / "temp").iterdir()) == []
