"""Files that are replaced: a failure of any kind leaves the old one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from prebake.io.atomic_write import PREFIX, new_file, publish_file, replace_folder, write_text


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(f"{PREFIX}*"))


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "report.json"
    write_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert unfinished(path.parent) == []


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_text(path, "old")
    with pytest.raises(TypeError), new_file(path) as file:
        file.writelines([b"half of the new one", None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "report.json"
    write_text(path, "old")
    with pytest.raises(OSError, match="No space") as caught:
        write_text(path, "x" * (64 << 20))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert unfinished(small_disk) == []


def test_the_next_writer_removes_what_a_killed_one_left_and_not_what_a_living_one_writes(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}0123456789abcdef").write_text("half")
    with new_file(tmp_path / "slow") as file:
        file.write(b"whole")
        write_text(tmp_path / "quick", "whole")
        assert len(unfinished(tmp_path)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quick", "slow"]


def test_a_finished_file_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "finished").write_text("new")
    (tmp_path / "target").write_text("old")
    publish_file(tmp_path / "finished", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, exists: bool) -> None:
    new, target = tmp_path / "new", tmp_path / "context"
    new.mkdir()
    (new / "a").write_text("new")
    if exists:
        target.mkdir()
        (target / "b").write_text("old")
    replace_folder(new, target)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["context", "context/a"]
