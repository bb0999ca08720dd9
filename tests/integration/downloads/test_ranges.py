"""Large files, of which several ranges come at once: the same file, and the same care for what breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from prebake.checkpoints.download.download import HttpDownloader
from prebake.checkpoints.download.http_download import HttpRequest, Transfer, open_client
from prebake.checkpoints.download.http_ranges import RangePart, Ranges, Readahead
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.source import as_remote
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, Interrupted, SourceError
from prebake.io.retry import RetryPolicy
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve
from tests.support.checkpoints.parts import HASTY, IMPATIENT, Diary, locked, some_bytes
from tests.support.downloads import DATA, check_held, file_of, leftovers

PATH = "/a.safetensors"
RANGES = Ranges(width=3, piece=500_000, least=1_000_000)


class Meeting(WebServer):
    """Behind the first request, which tells what the server has, ``size`` requests have to be there at the same time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(size, timeout=30)

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if 1 <= [each is seen for each in self.seen].index(True) <= self.barrier.parties:
            self.barrier.wait()
        super().answer(handler, seen)


def bring(file: LockedFile, store: Store, ranges: Ranges = RANGES, policy: RetryPolicy = HASTY) -> Diary:
    diary = Diary()
    fetch([file], store, {"http": Http(policy, ranges=ranges)}, diary)
    return diary


def asked(web: WebServer) -> list[str | None]:
    return [seen.headers.get("range") for seen in web.requests(PATH)]


def test_several_ranges_come_at_once(store: Store) -> None:
    with serve(Meeting(3)) as web:
        web.files[PATH] = DATA
        diary = bring(file_of(web), store)
        assert sorted(map(str, asked(web))) == sorted(
            f"bytes={at}-{at + 499_999}" for at in range(0, 3_000_000, 500_000)
        )
        assert {seen.headers.get("if-range") for seen in web.requests(PATH)[1:]} != {None}
        check_held(store, file_of(web))
    assert diary.reports[-1][1] == len(DATA)
    assert diary.notes == []


def test_a_small_file_comes_in_one(web: WebServer, store: Store) -> None:
    bring(file_of(web), store, Ranges(width=3, piece=500_000, least=3_000_001))
    assert asked(web) == [None]


def test_a_later_run_goes_on_by_several_ranges_from_what_is_there(web: WebServer, store: Store) -> None:
    web.fail(PATH, Fault(cut=400_000), *[Fault(status=503)] * 20)
    with pytest.raises(SourceError, match="503"):
        bring(file_of(web), store)
    kept = store.partial_path(file_of(web).sha256).read_bytes()
    assert kept == DATA[: len(kept)]
    assert len(kept) >= 400_000
    web.faults.clear()
    web.seen.clear()
    bring(file_of(web), store)
    starts = sorted(int(str(each).removeprefix("bytes=").partition("-")[0]) for each in asked(web))
    assert starts[0] == len(kept)
    assert len(starts) > 1
    check_held(store, file_of(web))


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(
    "fault",
    [Fault(cut=200_000), Fault(stall=200_000), Fault(status=503), Fault(status=403), Fault(headers={"ETag": '"x"'})],
)
def test_a_range_that_breaks_is_fetched_again(web: WebServer, store: Store, number: int, fault: Fault) -> None:
    """Whichever of them it is; the first one is refused for good by 403."""
    web.fail(PATH, *[Fault()] * number, fault)
    if number == 0 and fault.status == 403:
        with pytest.raises(SourceError, match="refuses access"):
            bring(file_of(web), store)
        return
    bring(file_of(web), store, policy=HASTY if fault.stall is None else IMPATIENT)
    check_held(store, file_of(web))


def test_what_a_broken_range_brought_is_kept(web: WebServer, store: Store) -> None:
    web.fail(PATH, Fault(), *[Fault(cut=200_000)] * 40)
    bring(file_of(web), store)
    assert sum(seen.sent for seen in web.requests(PATH)) < 3 * len(DATA)
    check_held(store, file_of(web))


def test_a_server_that_bears_one_connection_gets_one(store: Store) -> None:
    class Single(WebServer):
        def __init__(self) -> None:
            super().__init__()
            self.busy = threading.Lock()

        def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
            if not self.busy.acquire(blocking=False):
                self._send(handler, seen, 429, {}, b"", Fault())
                return
            try:
                super().answer(handler, seen)
            finally:
                self.busy.release()

    with serve(Single()) as web:
        web.files[PATH] = DATA
        bring(file_of(web), store)
        check_held(store, file_of(web))


@pytest.mark.parametrize("what", ["ranges", "etags"])
def test_without_ranges_or_validators_it_comes_in_one(web: WebServer, store: Store, what: str) -> None:
    setattr(web, what, False)
    bring(file_of(web), store)
    assert asked(web) == ["bytes=0-499999", *([] if what == "ranges" else ["bytes=500000-"])]
    check_held(store, file_of(web))


def test_a_file_that_is_replaced_meanwhile_is_not_mixed(web: WebServer, store: Store) -> None:
    new = some_bytes(len(DATA), seed=8)
    replaced = _Replacing(web, new)
    file = file_of(web, data=new)
    fetch([file], store, {"http": Http(HASTY, ranges=RANGES)}, replaced)
    check_held(store, file, new)


def test_wrong_bytes_are_named_and_not_kept(web: WebServer, store: Store) -> None:
    web.files[PATH] = some_bytes(len(DATA), seed=1)
    with pytest.raises(ChecksumMismatch):
        bring(file_of(web), store)
    assert leftovers(store) == []


def test_parts_are_asked_of_the_host_that_has_them_and_without_the_token(web: WebServer, store: Store) -> None:
    with serve() as cdn:
        cdn.files["/blob"] = DATA
        web.redirects["/moved"] = f"{cdn.url}/blob?signed=yes"
        file = locked("a", f"http:{web.url}/moved", DATA)
        transfer = Transfer(open_client(HASTY), HASTY, Diary(), RANGES)
        request = HttpRequest("a", f"{web.url}/moved", len(DATA), {"Authorization": "Bearer secret"})
        HttpDownloader(transfer, store).bring(as_remote(file), request)
        assert [seen.headers.get("authorization") for seen in web.seen] == ["Bearer secret"]
        assert {seen.headers.get("authorization") for seen in cdn.seen} == {None}
        assert {seen.path for seen in cdn.seen} == {"/blob?signed=yes"}
        assert len(cdn.seen) == 6
    check_held(store, file)


def test_parts_on_the_same_host_are_asked_for_with_the_token(web: WebServer, store: Store) -> None:
    transfer = Transfer(open_client(HASTY), HASTY, Diary(), RANGES)
    request = HttpRequest("a", f"{web.url}{PATH}", len(DATA), {"Authorization": "Bearer secret"})
    HttpDownloader(transfer, store).bring(as_remote(file_of(web)), request)
    assert {seen.headers.get("authorization") for seen in web.seen} == {"Bearer secret"}


def test_stopping_does_not_wait_for_a_range(store: Store) -> None:
    released = threading.Event()

    def hang(part: RangePart) -> None:
        part.data += b"x"
        released.wait(60)

    def stop(ahead: int) -> None:
        assert ahead <= 3
        raise Interrupted("stopped", next_action="")

    with pytest.raises(Interrupted), Readahead(hang, RANGES, 0, 3_000_000) as readahead:
        list(readahead.take(stop))
    released.set()


class _Replacing(Diary):
    """The publisher's new file is there once the first bytes of the old one came."""

    def __init__(self, web: WebServer, data: bytes) -> None:
        super().__init__()
        self._web, self._data = web, data

    def report(self, name: str, done: int, total: int | None) -> None:
        self._web.files[PATH] = self._data
        super().report(name, done, total)


@pytest.fixture(autouse=True)
def _released(web: WebServer) -> Iterator[None]:
    """Connections that stall are let go at the end."""
    yield
    web.release.set()
