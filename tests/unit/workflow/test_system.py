"""Pinned system packages come into the store from whichever archive still has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.errors import LockMismatch, SystemPackageError
from prebake.io.log import silent
from prebake.spec.image.system_packages import LockedPackage, LockedSystem, join_systems
from prebake.spec.lock import Lock, LockedBase, parse_lock, render_lock
from prebake.workflow.checkpoint.system_packages import MIRRORS_VARIABLE, fetch_system
from tests.support.http_server import QuietHandler, serving_http


@dataclass(frozen=True)
class Archive:
    folder: Path
    url: str

    def add(self, package: LockedPackage, content: bytes | None = None) -> None:
        path = self.folder / package.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(package.name.encode() if content is None else content)


class Quiet(QuietHandler, SimpleHTTPRequestHandler):
    """Serves the files of a folder."""


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[tuple[Archive, Archive]]:
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
    with (
        serving_http(partial(Quiet, directory=str(new))) as one,
        serving_http(partial(Quiet, directory=str(old))) as two,
    ):
        yield Archive(new, f"http://127.0.0.1:{one}"), Archive(old, f"http://127.0.0.1:{two}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def pinned(name: str, archive: str) -> LockedPackage:
    data = name.encode()
    sha256 = hashlib.sha256(data).hexdigest()
    return LockedPackage(
        name, "1:2.0-3+b1", f"pool/main/l/{name}/{name}_2.0-3+b1_amd64.deb", len(data), sha256, archive
    )


def system(*packages: LockedPackage, archives: tuple[str, ...] = ()) -> LockedSystem:
    return LockedSystem(tuple(each.name for each in packages), archives, {"amd64": packages})


def test_each_package_comes_from_its_own_archive_or_from_another(
    archives: tuple[Archive, Archive], store: Store
) -> None:
    new, old = archives
    one, two = pinned("libone1", new.url), pinned("libtwo2", new.url)
    new.add(one)
    old.add(two)
    fetch_system(system(one, two, archives=(old.url,)), store, silent)
    assert all(store.get(each.sha256, each.size) for each in (one, two))


def test_mirrors_by_name_are_asked_first(
    archives: tuple[Archive, Archive], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = archives
    one = pinned("libone1", new.url)
    new.add(one, b"another")
    old.add(one)
    monkeypatch.setenv(MIRRORS_VARIABLE, f"{old.url}/")
    fetch_system(system(one), store, silent)
    assert store.get(one.sha256, one.size)


def test_what_no_archive_has_is_told_all_at_once(archives: tuple[Archive, Archive], store: Store) -> None:
    new, _ = archives
    lacking, other = pinned("libone1", new.url), pinned("libtwo2", new.url)
    new.add(other, b"changed")  # of the same size as the pinned one
    with pytest.raises(SystemPackageError) as caught:
        fetch_system(system(lacking, other), store, silent)
    assert "libone1 1:2.0-3+b1: " in caught.value.message
    assert "libtwo2 1:2.0-3+b1: " in caught.value.message
    assert MIRRORS_VARIABLE in caught.value.next_action
    assert store.get(other.sha256, other.size) is None


def test_the_lock_keeps_them_and_says_what_is_wrong_with_them() -> None:
    lock = Lock(
        LockedBase("base", "sha256:" + "0" * 64), {}, system(pinned("libone1", "http://archive.invalid/debian"))
    )
    text = render_lock(lock)
    assert parse_lock(text, "images/x/weights.lock") == lock
    assert parse_lock(render_lock(replace(lock, system=LockedSystem())), "x").system.names == ()
    with pytest.raises(LockMismatch) as caught:
        parse_lock(text.replace("pool/main", "../pool").replace('"size": 7', '"size": "7"'), "images/x/weights.lock")
    assert len(caught.value.problems) == 2
    with pytest.raises(LockMismatch, match="system_packages: cannot be read"):
        parse_lock(text.replace('"archives"', '"mirrors"'), "images/x/weights.lock")


def test_models_of_one_image_have_theirs_together() -> None:
    one, two = pinned("libone1", "http://a.invalid"), pinned("libtwo2", "http://b.invalid")
    joined = join_systems([system(two, archives=("http://b.invalid",)), LockedSystem(), system(one, two)])
    assert joined.names == ("libtwo2", "libone1")
    assert joined.packages == {"amd64": (one, two)}


def test_a_login_of_the_named_netrc_is_given(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip takes it, and for whatever else is fetched by http."""
    seen: list[str] = []

    class Closed(Quiet):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            super().do_GET() if seen[-1] else self.send_error(401)

    with serving_http(partial(Closed, directory=str(tmp_path))) as port:
        one = pinned("libone1", f"http://127.0.0.1:{port}")
        Archive(tmp_path, one.archive).add(one)
        (tmp_path / "logins").write_text("machine 127.0.0.1 login reader password word\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
        fetch_system(system(one), store, silent)
    assert store.get(one.sha256, one.size)
    assert seen[0].startswith("Basic ")
