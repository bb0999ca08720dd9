"""Archives and plain URLs as sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, SourceError
from prebake.spec.image.sources import FromHttp
from tests.support.checkpoint_servers.webserver import Fault, WebServer
from tests.support.checkpoints.fetched import CONFIG, MODEL, check_fetched_anew, lock, zipped
from tests.support.checkpoints.parts import HASTY, Diary, named, sha256, some_bytes


def archive_spec(web: WebServer, *files: str) -> FromHttp:
    names = files or ("model.safetensors", "config.json")
    return named(FromHttp, "http", url=f"{web.url}/all.zip", files=names, archive=True, to="clap")


def test_members_of_an_archive_are_one_download(web: WebServer, store: Store, tmp_path: Path) -> None:
    web.files["/all.zip"] = zipped({"model.safetensors": MODEL, "config.json": CONFIG, "other": b"x"})
    web.fail("/all.zip", Fault(cut=100_000))
    held = lock(store, Http(HASTY), archive_spec(web))
    assert [seen.headers.get("range") for seen in web.seen] == [None, "bytes=100000-"]
    assert [file.locator for file in held.files] == ["config.json", "model.safetensors"]
    web.seen.clear()
    check_fetched_anew(held, Http(HASTY), "http", tmp_path)
    assert len(web.seen) == 1


def test_a_member_that_is_not_there(web: WebServer, store: Store) -> None:
    web.files["/all.zip"] = zipped({"weights/model.safetensors": MODEL})
    with pytest.raises(
        SourceError, match=r"no member model.safetensors, nothing; did you mean weights/model.safetensors"
    ):
        lock(store, Http(HASTY), archive_spec(web, "model.safetensors", "nothing"))
    assert list((store.root / "partial").iterdir()) == []


def test_what_is_no_archive(web: WebServer, store: Store) -> None:
    web.files["/all.zip"] = MODEL
    with pytest.raises(SourceError, match="cannot be read as a zip archive"):
        lock(store, Http(HASTY), archive_spec(web))


@pytest.mark.parametrize("other", [some_bytes(300_000, seed=1), MODEL[:-1]])
def test_a_member_that_changed(web: WebServer, store: Store, tmp_path: Path, other: bytes) -> None:
    web.files["/all.zip"] = zipped({"model.safetensors": MODEL, "config.json": CONFIG})
    held = lock(store, Http(HASTY), archive_spec(web))
    web.files["/all.zip"] = zipped({"model.safetensors": other, "config.json": CONFIG})
    with pytest.raises(ChecksumMismatch, match=r"clap/model.safetensors"):
        fetch(held.files, Store(tmp_path / "other"), {"http": Http(HASTY)}, Diary())


def test_a_plain_url_is_one_file(web: WebServer, store: Store) -> None:
    web.files["/m.bin"] = MODEL
    spec = named(FromHttp, "http", url=f"{web.url}/m.bin", files=("dac/m.bin",))
    (file,) = lock(store, Http(HASTY), spec).files
    assert (file.path, file.source, file.locator) == ("dac/m.bin", f"http:{web.url}/m.bin", "")
    assert (file.size, file.sha256) == (len(MODEL), sha256(MODEL))
    with pytest.raises(SourceError, match="is one file"):
        Http(HASTY).resolve(named(FromHttp, "http", url=f"{web.url}/m.bin", files=("a", "b")))


def test_an_unknown_file_that_was_cut_between_runs_needs_its_etag_to_go_on(web: WebServer, store: Store) -> None:
    web.files["/m.bin"] = MODEL
    spec = named(FromHttp, "http", url=f"{web.url}/m.bin", files=("m.bin",))
    for etags, expected in ((True, "bytes=100000-"), (False, None)):
        web.etags = etags
        web.fail("/m.bin", Fault(cut=100_000), *[Fault(status=500)] * 3)
        with pytest.raises(SourceError):
            lock(store, Http(HASTY), spec)
        (file,) = lock(store, Http(HASTY), spec).files
        assert web.seen[-1].headers.get("range") == expected
        assert file.sha256 == sha256(MODEL)
        store.drop(file.sha256)
