from __future__ import annotations

from pathlib import Path

import pytest

from prebake.bootstrap.engine_folder import engine_folder
from prebake.checkpoints.store.store import default_root
from prebake.errors import NoRoom
from prebake.io.byte_sizes import format_bytes, format_seconds
from prebake.io.cache_folder import cache_folder
from prebake.io.disk_space import free_bytes, require_room


def test_too_little_room_is_told_in_figures(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there", 1, what="nothing")
    with pytest.raises(NoRoom, match=r"for an image: 909\.5 TiB \(1000000000000000 bytes\) are needed"):
        require_room(tmp_path / "not" / "there", 10**15, what="an image")
    assert free_bytes(tmp_path / "not" / "there") > 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (7 * 2**30, "7.0 GiB"), (None, "?")]
)
def test_sizes_read_well(size: int | None, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (3590, "1 h 0 min"), (3300, "55 min"), (7500, "2 h 5 min")],
)
def test_times_read_well(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"PREBAKE_CACHE": str(tmp_path)}) == tmp_path
    assert cache_folder({}) == Path.home() / ".cache" / "prebake"


def test_the_cache_follows_xdg_unless_it_is_named(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "prebake"
    named = {"XDG_CACHE_HOME": str(tmp_path), "PREBAKE_CACHE": str(tmp_path / "mine")}
    assert cache_folder(named) == tmp_path / "mine"
    for ignored in ("", "relative/cache"):
        assert cache_folder({"XDG_CACHE_HOME": ignored}) == Path.home() / ".cache" / "prebake"


def test_the_store_and_the_private_engine_lie_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREBAKE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "prebake" / "store"
    assert engine_folder().home == tmp_path / "prebake" / "engine"
