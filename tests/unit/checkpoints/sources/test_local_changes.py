"""Whether what lies in a folder of this machine still is what the lock pins."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from prebake.checkpoints.sources.local_folder import changed_files
from prebake.spec.lock import LockedFile

LOCKED = 1_000_000.0


@pytest.fixture
def pinned(tmp_path: Path) -> LockedFile:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/net.onnx").write_bytes(b"first")
    os.utime(tmp_path / "weights/net.onnx", (LOCKED - 10, LOCKED - 10))
    sha256 = hashlib.sha256(b"first").hexdigest()
    return LockedFile("net/net.onnx", "local:weights", "", "net.onnx", 5, sha256, "MIT", False)


def write(root: Path, content: bytes, time: float) -> None:
    path = root / "weights/net.onnx"
    path.write_bytes(content)
    os.utime(path, (time, time))


def test_what_is_as_it_was_or_was_only_touched_is_not_changed(pinned: LockedFile, tmp_path: Path) -> None:
    assert changed_files([pinned], tmp_path, LOCKED) == []
    write(tmp_path, b"first", LOCKED + 10)
    assert changed_files([pinned], tmp_path, LOCKED) == []


def test_another_size_and_other_bytes_of_the_same_size_are_told(pinned: LockedFile, tmp_path: Path) -> None:
    write(tmp_path, b"other", LOCKED + 10)
    assert changed_files([pinned], tmp_path, LOCKED) == ["net/net.onnx"]
    write(tmp_path, b"longer", LOCKED - 10)
    assert changed_files([pinned], tmp_path, LOCKED) == ["net/net.onnx"]


def test_what_is_gone_may_be_in_the_store_all_the_same(pinned: LockedFile, tmp_path: Path) -> None:
    (tmp_path / "weights/net.onnx").unlink()
    assert changed_files([pinned], tmp_path, LOCKED) == []
