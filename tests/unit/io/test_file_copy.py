"""Files that are linked, or copied if they cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prebake.errors import NoRoom
from prebake.io.file_copy import link_or_copy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"x" * 1000)
    path.chmod(0o444)
    os.utime(path, (77, 77))
    return path


def test_a_link_shares_the_file(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    link_or_copy(source, target)
    assert target.samefile(source)


def test_a_copy_on_another_disk_has_the_mode_and_the_time_of_a_link(source: Path, small_disk: Path) -> None:
    target = small_disk / "a" / "b"
    link_or_copy(source, target)
    assert not target.samefile(source)
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_mode & 0o777, target.stat().st_mtime) == (0o444, 77)


def test_a_copy_that_does_not_fit_is_an_error_and_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(64 << 20))
    with pytest.raises(NoRoom):
        link_or_copy(large, small_disk / "large")
    assert not (small_disk / "large").exists()
