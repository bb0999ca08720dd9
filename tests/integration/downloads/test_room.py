"""Downloads and the disks that they go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.errors import NoRoom
from prebake.plan.values import content_time
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.webserver import WebServer
from tests.support.checkpoints.parts import some_bytes
from tests.support.downloads import DATA, bring, check_held, file_of


def test_no_room_is_found_before_the_first_byte(web: WebServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", free=lambda folder: 2_999_999)
    with pytest.raises(NoRoom, match=r"3000000 bytes.* are needed.*2999999 bytes.* are free"):
        bring([file_of(web)], store)
    assert web.seen == []


def test_bytes_that_are_there_need_no_more_room(web: WebServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", free=lambda folder: 1_000_000)
    store.partial_path(file_of(web).sha256).write_bytes(DATA[:2_000_000])
    bring([file_of(web)], store)
    check_held(store, file_of(web))


@pytest.fixture
def large(web: WebServer) -> LockedFile:
    """A file that no small disk holds."""
    web.files["/large"] = some_bytes(5_000_000)
    return file_of(web, "large", web.files["/large"])


def test_a_disk_that_is_full(web: WebServer, large: LockedFile, small_disk: Path) -> None:
    with pytest.raises(NoRoom, match=r"4\.8 MiB .* are needed"):
        bring([large], Store(small_disk))
    assert web.seen == []


def test_a_disk_that_fills_up_on_the_way(large: LockedFile, small_disk: Path) -> None:
    store = Store(small_disk, free=lambda folder: 1 << 40)  # somebody else took the room after it was checked
    with pytest.raises(NoRoom, match="became full while writing"):
        bring([large], store)
    assert store.partial_path(large.sha256).stat().st_size > 1_000_000


def test_a_folder_on_another_disk_gets_copies(web: WebServer, store: Store, small_disk: Path) -> None:
    web.files["/b"] = some_bytes(500_000, seed=3)
    file = file_of(web, "b", web.files["/b"])
    bring([file], store)
    store.link_into(small_disk / "checkpoint", file.path, file.sha256)
    copy = small_disk / "checkpoint" / "b"
    assert copy.read_bytes() == web.files["/b"]
    assert copy.stat().st_dev != store.root.stat().st_dev
    assert (copy.stat().st_mode & 0o777, copy.stat().st_mtime) == (0o444, content_time(file.sha256))
