"""The store: what is in it is what its name says, and nobody else's edits reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch, find_missing
from prebake.checkpoints.sources.local_folder import Local
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, default_root
from prebake.errors import ChecksumMismatch, NoRoom, SourceError
from prebake.plan.values import content_time
from tests.support.checkpoints.parts import Diary, locked, sha256, some_bytes

DATA = some_bytes(100_000)


def add(store: Store, data: bytes = DATA) -> str:
    return store.add_stream([data[:70_000], data[70_000:]], sha256=None, name="a", origin="a test").sha256


def test_an_object_lies_under_its_checksum_read_only_and_dated_by_its_content(store: Store) -> None:
    digest = add(store)
    path = store.root / "sha256" / digest[:2] / digest
    assert digest == sha256(DATA)
    assert path.read_bytes() == DATA
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o444, content_time(digest))
    assert list((store.root / "temp").iterdir()) == []


def test_wrong_bytes_get_no_name(store: Store) -> None:
    with pytest.raises(ChecksumMismatch, match="expected sha256 000"):
        store.add_stream([DATA], sha256="0" * 64, name="a", origin="a test")
    assert list((store.root / "sha256").iterdir()) == []
    assert list((store.root / "temp").iterdir()) == []


def test_an_interrupted_stream_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add_stream(broken(), sha256=None, name="a", origin="a test")
    assert [path for path in store.root.rglob("*") if path.is_file() and path.parent.name != "locks"] == []


def test_a_later_edit_of_the_original_does_not_reach_the_store(store: Store, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(DATA)
    stored = store.add_file(original)
    with original.open("r+b") as stream:
        stream.write(b"edited")
    assert stored.path.read_bytes() == DATA
    assert stored.path.stat().st_nlink == 1


def test_links_share_the_bytes_and_replace_what_was_there(store: Store, tmp_path: Path) -> None:
    digest = add(store)
    (tmp_path / "out" / "clap").mkdir(parents=True)
    (tmp_path / "out" / "clap" / "model").write_bytes(b"old")
    for _ in range(2):
        path = store.link_into(tmp_path / "out", "clap/model", digest)
        assert path.samefile(store.place(digest))
    assert [entry.name for entry in (tmp_path / "out" / "clap").iterdir()] == ["model"]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "", "."])
def test_a_path_that_leaves_the_folder_is_refused(store: Store, tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match="leaves the checkpoint"):
        store.link_into(tmp_path / "out", path, add(store))


def test_linking_what_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not in the store"):
        store.link_into(tmp_path, "a", "0" * 64)


def test_a_shortened_object_counts_as_missing_and_is_replaced(store: Store, tmp_path: Path) -> None:
    digest = add(store)
    store.place(digest).chmod(0o644)
    os.truncate(store.place(digest), 10)
    (tmp_path / "a").write_bytes(DATA)
    file = locked("a", f"local:{tmp_path}", DATA, locator="a")
    assert find_missing([file, file], store) == [file]
    fetch([file], store, {"local": Local(tmp_path)}, Diary())
    assert find_missing([file], store) == []
    assert store.place(digest).read_bytes() == DATA
    store.link_into(tmp_path / "out", file.path, file.sha256)
    assert (tmp_path / "out" / "a").read_bytes() == DATA


def test_verify_finds_the_object_that_changed(store: Store) -> None:
    digest, _ = add(store), add(store, DATA[:5])
    assert list(store.verify()) == []
    store.place(digest).chmod(0o644)
    with store.place(digest).open("r+b") as stream:
        stream.write(b"rot")
    (damage,) = store.verify()
    assert damage.sha256 == digest
    assert damage.found == sha256(b"rot" + DATA[3:])
    store.drop(digest)
    assert list(store.verify()) == []
    assert store.get(digest) is None


def test_room(tmp_path: Path) -> None:
    store = Store(tmp_path, free=lambda folder: 2 * 2**30)
    store.require_room(2 * 2**30)
    with pytest.raises(NoRoom, match=r"2\.0 GiB \(2147483649 bytes\) are needed") as caught:
        store.require_room(2 * 2**30 + 1)
    assert "PREBAKE_CACHE" in caught.value.next_action


def test_a_sweep_spares_what_is_being_written(store: Store) -> None:
    def writing() -> Iterator[bytes]:
        yield DATA
        store.sweep()

    with store.folder() as folder:
        (folder / "x").write_bytes(DATA)
        assert store.add_stream(writing(), sha256=None, name="a", origin="a test").size == len(DATA)
        assert (folder / "x").is_file()
    assert not folder.exists()


def test_the_cache_s_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREBAKE_CACHE", str(tmp_path))
    assert default_root() == tmp_path / "store"
    monkeypatch.setenv("PREBAKE_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "prebake" / "store"


def test_a_part_is_hashed_again_when_it_is_opened(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "part") as partial:
        partial.write(DATA[:60_000])
        partial.tag = '"v1"'
    with PartialFile(tmp_path / "part") as partial:
        assert (partial.done, partial.resumed, partial.tag) == (60_000, True, '"v1"')
        partial.write(DATA[60_000:])
        assert partial.sha256 == sha256(DATA)
        partial.restart()
        assert (partial.done, partial.resumed, partial.tag) == (0, False, "")
        assert partial.sha256 == sha256(b"")
        partial.discard()
    assert list(tmp_path.iterdir()) == []
