from __future__ import annotations

from pathlib import Path

import pytest

from prebake.disk import cache_folder, free_bytes, require_room
from prebake.errors import NoRoom
from prebake.sizes import show_bytes


def test_too_little_room_is_told_in_figures(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there", 1, what="nothing")
    with pytest.raises(NoRoom, match=r"for an image: 909\.5 TiB \(1000000000000000 bytes\) are needed"):
        require_room(tmp_path / "not" / "there", 10**15, what="an image")
    assert free_bytes(tmp_path / "not" / "there") > 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (7 * 2**30, "7.0 GiB"), (None, "?")]
)
def test_sizes_read_well(size: int | None, text: str) -> None:
    assert show_bytes(size) == text


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"PREBAKE_CACHE": str(tmp_path)}) == tmp_path
    assert cache_folder({}).name == "prebake"
