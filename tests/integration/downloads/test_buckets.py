"""Downloads from a bucket whose connections break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.store.store import Store
from prebake.errors import NoNetwork, SourceError
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromS3
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.s3server import ENVIRONMENT, S3Server, serve_s3, source
from tests.support.checkpoints.parts import Diary, locked, named, some_bytes
from tests.support.downloads import DATA, check_held, leftovers
from tests.support.registry_servers.front import Fault

FILE = "a.safetensors"
WHOLE = ["bytes=0-999999", "bytes=1000000-1999999", "bytes=2000000-2999999"]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with serve_s3() as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{server.front.address}"}.items():
            monkeypatch.setenv(name, value)
        server.put(FILE, DATA)
        yield server


def file_of(s3: S3Server) -> LockedFile:
    etag = s3.client.head_object(Bucket=s3.name, Key=f"models/{FILE}")["ETag"].strip('"')
    return locked(FILE, f"s3:{s3.url}", DATA, revision=f"etag:{etag}", locator=FILE)


def bring(s3: S3Server, store: Store) -> Diary:
    diary = Diary()
    fetch([file_of(s3)], store, {"s3": source()}, diary)
    return diary


def cut_second_piece(s3: S3Server, times: int = 1) -> None:
    s3.front.faults += [Fault("GET"), Fault("GET", truncate=400_000, times=times)]


def test_a_cut_goes_on_with_the_piece_that_broke(s3: S3Server, store: Store) -> None:
    cut_second_piece(s3)
    diary = bring(s3, store)
    assert s3.ranges(FILE) == [WHOLE[0], WHOLE[1], WHOLE[1], WHOLE[2]]
    assert "trying again" in diary.notes[0][1]
    check_held(store, file_of(s3))


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(s3: S3Server, store: Store) -> None:
    cut_second_piece(s3, times=9)
    with pytest.raises(NoNetwork, match="3 times in a row"):
        bring(s3, store)
    assert store.partial_path(file_of(s3).sha256).read_bytes() == DATA[:1_000_000]
    s3.front.faults.clear()
    s3.front.seen.clear()
    bring(s3, store)
    assert s3.ranges(FILE) == WHOLE[1:]
    check_held(store, file_of(s3))


def test_an_answer_that_may_pass_is_asked_for_again(s3: S3Server, store: Store) -> None:
    s3.front.faults.append(Fault("GET", status=503))
    s3.front.faults.append(Fault("HEAD", status=500))
    assert len(bring(s3, store).notes) == 2
    check_held(store, file_of(s3))


def test_nobody_answers(s3: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_of(s3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the port of "discard", which nothing serves
    with pytest.raises(NoNetwork, match=rf"{s3.url}/{FILE} cannot be reached"):
        fetch([file], store, {"s3": source()}, Diary())


def test_a_spoilt_first_part_is_thrown_away_and_fetched_once_more(s3: S3Server, store: Store) -> None:
    store.partial_path(file_of(s3).sha256).write_bytes(b"\0" * 1_000_000)
    diary = bring(s3, store)
    assert any("another checksum" in text for _, text in diary.notes)
    assert s3.ranges(FILE) == [*WHOLE[1:], *WHOLE]
    check_held(store, file_of(s3))


def test_an_object_replaced_while_it_is_locked_is_not_pinned_half_and_half(s3: S3Server, store: Store) -> None:
    swapped = _Swapping(s3, some_bytes(len(DATA), seed=5))
    spec = named(FromS3, "s3", url=s3.url, files=(FILE,))
    checkpoint = Checkpoint(license=License(id="MIT"), sources=(spec,))
    with pytest.raises(SourceError, match="was replaced while it was locked"):
        resolve(checkpoint, store, {"s3": source()}, swapped)
    assert leftovers(store) == []


def test_a_large_object_comes_in_several_ranges_at_once(s3: S3Server, store: Store) -> None:
    s3.front.faults.append(Fault("GET", stall=0))  # whichever is asked for first is held until all have been
    answered = threading.Thread(target=_release_when, args=(s3, len(WHOLE)), daemon=True)
    answered.start()
    fetch([file_of(s3)], store, {"s3": source(least=1)}, Diary())
    answered.join()
    assert set(s3.ranges(FILE)) == set(WHOLE)
    check_held(store, file_of(s3))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("fault", [{"truncate": 400_000}, {"status": 503}])
def test_one_of_several_ranges_breaks(s3: S3Server, store: Store, number: int, fault: dict[str, int]) -> None:
    s3.front.faults += [*(Fault("GET") for _ in range(number)), Fault("GET", **fault)]  # type: ignore[arg-type]
    diary = Diary()
    fetch([file_of(s3)], store, {"s3": source(least=1)}, diary)
    assert "trying again" in diary.notes[0][1]
    check_held(store, file_of(s3))


def _release_when(s3: S3Server, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(set(s3.ranges(FILE))) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    s3.front.release.set()


class _Swapping(Diary):
    """The publisher's upload comes when the first piece is here."""

    def __init__(self, s3: S3Server, data: bytes) -> None:
        super().__init__()
        self._s3, self._data = s3, data

    def report(self, name: str, done: int, total: int | None) -> None:
        if done and self._data:
            self._s3.put(FILE, self._data)
            self._data = b""
        super().report(name, done, total)
