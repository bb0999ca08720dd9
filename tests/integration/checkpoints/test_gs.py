"""Google Cloud Storage as a source, by its library, against a loopback server that speaks the part of its API that reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec.config
import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.bucket import Bucket
from prebake.checkpoints.sources.object_stores import GS
from prebake.checkpoints.store.store import Store
from prebake.errors import NoNetwork, SourceError
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromGs
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.gsserver import BUCKET, GsServer
from tests.support.checkpoint_servers.webserver import Fault, serve
from tests.support.checkpoints.parts import HASTY, Diary, named, sha256, some_bytes

WEIGHTS = some_bytes(2_500_000)
PLACE = f"/download/storage/v1/b/{BUCKET}/o/models%2Fmodel.safetensors"


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GsServer]:
    with serve(GsServer()) as server:
        assert isinstance(server, GsServer)
        server.put("models/model.safetensors", WEIGHTS)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        yield server


def source(least: int = 1 << 40) -> Bucket:
    return Bucket(GS, HASTY, piece=1_000_000, least=least)


def lock(store: Store, *files: str) -> tuple[LockedFile, ...]:
    spec = named(FromGs, "gs", url=f"gs://{BUCKET}/models/", files=files or ("model.safetensors",))
    checkpoint = Checkpoint(license=License(id="MIT"), sources=(spec,))
    return resolve(checkpoint, store, {"gs": source()}, Diary()).files


def ranges(gs: GsServer) -> list[str | None]:
    return [seen.headers.get("range") for seen in gs.seen if "/download/" in seen.path]


def test_an_object_is_pinned_by_sha256_and_generation(gs: GsServer, store: Store, tmp_path: Path) -> None:
    files = lock(store)
    assert (files[0].source, files[0].revision) == (f"gs:gs://{BUCKET}/models/", "version:1")
    assert (files[0].size, files[0].sha256) == (len(WEIGHTS), sha256(WEIGHTS))
    gs.put("models/model.safetensors", some_bytes(9))
    other = Store(tmp_path / "other")
    fetch(files, other, {"gs": source()}, Diary())
    assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_later_run_goes_on_where_an_earlier_one_was_refused(gs: GsServer, store: Store, tmp_path: Path) -> None:
    files, other = lock(store), Store(tmp_path / "other")
    gs.seen.clear()
    gs.fail(PLACE, Fault(), Fault(status=403))
    with pytest.raises(SourceError, match="the store refuses access") as caught:
        fetch(files, other, {"gs": source()}, Diary())
    assert "gcloud auth" in caught.value.next_action
    fetch(files, other, {"gs": source()}, Diary())
    assert ranges(gs) == ["bytes=0-999999", "bytes=1000000-1999999", "bytes=1000000-1999999", "bytes=2000000-2499999"]
    assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_cut_goes_on_with_the_piece_that_broke_and_each_attempt_is_told(
    gs: GsServer, store: Store, tmp_path: Path
) -> None:
    files, other, diary = lock(store), Store(tmp_path / "other"), Diary()
    gs.seen.clear()
    gs.fail(PLACE, Fault(), Fault(cut=400_000), Fault(status=503))
    fetch(files, other, {"gs": source()}, diary)
    second = "bytes=1000000-1999999"
    assert ranges(gs) == ["bytes=0-999999", second, second, second, "bytes=2000000-2499999"]
    assert len([text for _, text in diary.notes if "trying again" in text]) == 2
    assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(gs: GsServer, store: Store, tmp_path: Path) -> None:
    files, other = lock(store), Store(tmp_path / "other")
    gs.fail(PLACE, Fault(), *[Fault(cut=400_000)] * 3)
    with pytest.raises(NoNetwork, match="3 times in a row"):
        fetch(files, other, {"gs": source()}, Diary())
    gs.seen.clear()
    fetch(files, other, {"gs": source()}, Diary())
    assert ranges(gs) == ["bytes=1000000-1999999", "bytes=2000000-2499999"]


def test_a_large_object_comes_in_several_ranges_at_once(gs: GsServer, store: Store, tmp_path: Path) -> None:
    files, other = lock(store), Store(tmp_path / "other")
    gs.seen.clear()
    gs.fail(PLACE, Fault(stall=1000))
    fetcher = threading.Thread(target=fetch, args=(files, other, {"gs": source(least=1)}, Diary()))
    fetcher.start()
    deadline = time.monotonic() + 30
    while len(set(ranges(gs))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    gs.release.set()  # the range that was held until the others had come
    fetcher.join()
    assert set(ranges(gs)) == {"bytes=0-999999", "bytes=1000000-1999999", "bytes=2000000-2499999"}
    assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_what_is_not_there_and_what_may_not_be_read(gs: GsServer, store: Store) -> None:
    with pytest.raises(SourceError, match=rf"There is no object gs://{BUCKET}/models/nothing"):
        lock(store, "nothing", "model.safetensors")
    gs.refuse = True
    with pytest.raises(SourceError, match="the store refuses access"):
        lock(store)


def test_a_piece_that_is_short_begins_the_file_anew(gs: GsServer, store: Store, tmp_path: Path) -> None:
    files, other, diary = lock(store), Store(tmp_path / "other"), Diary()
    gs.seen.clear()
    gs.fail(PLACE, Fault(), Fault(headers={"Content-Length": "10"}, cut=10))
    fetch(files, other, {"gs": source()}, diary)
    assert ranges(gs)[:3] == ["bytes=0-999999", "bytes=1000000-1999999", "bytes=0-999999"]
    assert any("bytes 1000000 to 2000000 were requested, but 10 bytes arrived" in text for _, text in diary.notes)
    assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_server_that_heeds_no_range_is_told(gs: GsServer, store: Store) -> None:
    gs.ranges = False
    with pytest.raises(SourceError, match="1000000 were requested, but 2500000 bytes arrived, 3 times in a row"):
        lock(store)
    assert sum(path.stat().st_size for path in (store.root / "partial").iterdir()) == 0


def test_what_is_unpacked_on_its_way_is_refused(gs: GsServer, store: Store) -> None:
    gs.put("models/config.json", b"{}")
    gs.packed |= {"models/model.safetensors", "models/config.json"}
    places = f"gs://{BUCKET}/models/model.safetensors, gs://{BUCKET}/models/config.json"
    with pytest.raises(SourceError, match=f"{places}: stored with `Content-Encoding: gzip`") as caught:
        lock(store, "model.safetensors", "config.json")
    assert "without `Content-Encoding`" in caught.value.next_action
    assert ranges(gs) == []
