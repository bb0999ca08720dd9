"""Folders as sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.local_folder import Local
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, SourceError
from prebake.spec.image.sources import FromLocal
from tests.support.checkpoints.fetched import CONFIG, MODEL, check_fetched_anew, lock
from tests.support.checkpoints.parts import Diary, named


def local_spec(folder: str, *files: str) -> FromLocal:
    return named(FromLocal, "local", folder=folder, files=files or ("model.safetensors", "config.json"), to="clap")


def test_a_folder_of_this_machine(store: Store, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(MODEL)
    (tmp_path / "weights" / "config.json").write_bytes(CONFIG)
    held = lock(store, Local(tmp_path), local_spec("weights"))
    check_fetched_anew(held, Local(tmp_path), "local", tmp_path)
    (tmp_path / "weights" / "config.json").write_bytes(b"[]\n")
    with pytest.raises(ChecksumMismatch, match=r"clap/config.json"):
        fetch(held.files, Store(tmp_path / "third"), {"local": Local(tmp_path)}, Diary())
    (tmp_path / "weights" / "config.json").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        fetch(held.files, Store(tmp_path / "third"), {"local": Local(tmp_path)}, Diary())
    with pytest.raises(SourceError, match=r"has no file config.json, nothing"):
        Local(tmp_path).resolve(local_spec("weights", "config.json", "nothing"))
