"""Downloads that were cut: they go on with the part that is there, where it is a part of the right bytes."""

from __future__ import annotations

import pytest

from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, SourceError
from tests.support.checkpoint_servers.webserver import Fault, WebServer
from tests.support.checkpoints.parts import IMPATIENT, some_bytes
from tests.support.downloads import DATA, bring, check_held, file_of, leftovers


def test_a_cut_download_goes_on_where_it_stopped(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(cut=1_000_000), Fault(cut=500_000))
    bring([file_of(web)], store)
    first, second, third = web.requests("/a.safetensors")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=1000000-"
    assert third.headers["range"] == "bytes=1500000-"
    assert [first.sent, second.sent, third.sent] == [1_000_000, 500_000, 1_500_000]
    check_held(store, file_of(web))


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(web: WebServer, store: Store) -> None:
    gone = Fault(status=503)
    web.fail("/a.safetensors", Fault(cut=2_000_000), gone, gone, gone)
    with pytest.raises(SourceError, match="503"):
        bring([file_of(web)], store)
    assert leftovers(store) == sorted([file_of(web).sha256, f"{file_of(web).sha256}.tag"])
    bring([file_of(web)], store)
    last = web.requests("/a.safetensors")[-1]
    assert last.headers["range"] == "bytes=2000000-"
    assert last.sent == 1_000_000
    check_held(store, file_of(web))


def test_attempts_count_only_while_nothing_arrives(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", *[Fault(cut=300_000)] * 8)
    bring([file_of(web)], store)
    assert len(web.requests("/a.safetensors")) == 9
    check_held(store, file_of(web))


def test_a_server_that_ignores_ranges_sends_it_all_again(web: WebServer, store: Store) -> None:
    web.ranges = False
    web.fail("/a.safetensors", Fault(cut=1_000_000))
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == len(DATA)
    check_held(store, file_of(web))


def test_a_file_that_changed_under_its_etag_is_taken_from_the_start(web: WebServer, store: Store) -> None:
    old, gone = some_bytes(len(DATA), seed=9), Fault(status=503)
    web.files["/a.safetensors"] = old
    web.fail("/a.safetensors", Fault(cut=1_000_000), gone, gone, gone)
    with pytest.raises(SourceError):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = DATA
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == len(DATA)
    check_held(store, file_of(web))


def test_a_spoilt_first_part_is_thrown_away_and_fetched_once_more(web: WebServer, store: Store) -> None:
    web.etags = False
    store.partial_path(file_of(web).sha256).write_bytes(b"\0" * 1_000_000)
    diary = bring([file_of(web)], store)
    assert [seen.sent for seen in web.requests("/a.safetensors")] == [2_000_000, 3_000_000]
    assert any("another checksum" in text for _, text in diary.notes)
    check_held(store, file_of(web))


def test_a_complete_part_left_by_a_kill_needs_no_request(web: WebServer, store: Store) -> None:
    store.partial_path(file_of(web).sha256).write_bytes(DATA)
    bring([file_of(web)], store)
    assert web.seen == []
    check_held(store, file_of(web))


def test_a_login_page_in_between_does_not_cost_the_first_part(web: WebServer, store: Store) -> None:
    gone = Fault(status=503)
    web.fail("/a.safetensors", Fault(cut=2_000_000), gone, gone, gone)
    with pytest.raises(SourceError):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = b"<html>please log in</html>"
    with pytest.raises(ChecksumMismatch):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = DATA
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == 1_000_000
    check_held(store, file_of(web))


def test_a_stalled_connection_times_out_and_goes_on(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_000_000))
    diary = bring([file_of(web)], store, IMPATIENT)
    assert "stopped sending bytes" in diary.notes[0][1]
    assert web.requests("/a.safetensors")[-1].headers["range"] == "bytes=1000000-"
    check_held(store, file_of(web))
