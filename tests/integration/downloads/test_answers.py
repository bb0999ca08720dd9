"""What a server answers: other bytes, refusals, errors that may pass, nothing at all."""

from __future__ import annotations

import socket

import pytest

from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, NoNetwork, SourceError
from prebake.io.retry import RetryPolicy
from tests.support.checkpoint_servers.webserver import Fault, WebServer
from tests.support.checkpoints.parts import IMPATIENT, locked, some_bytes
from tests.support.downloads import DATA, bring, check_held, file_of, leftovers


def test_wrong_bytes_are_named_and_not_kept(web: WebServer, store: Store) -> None:
    web.files["/a.safetensors"] = some_bytes(len(DATA), seed=1)
    with pytest.raises(ChecksumMismatch) as caught:
        bring([file_of(web)], store)
    message = str(caught.value)
    assert "a.safetensors" in message
    assert file_of(web).sha256 in message
    assert locked("x", "x", web.files["/a.safetensors"]).sha256 in message
    assert leftovers(store) == []
    assert list((store.root / "sha256").glob("*/*")) == []
    assert len(web.seen) == 1


@pytest.mark.parametrize("size", [len(DATA) - 7, len(DATA) + 7])
def test_another_size_ends_it_before_the_bytes_come(web: WebServer, store: Store, size: int) -> None:
    web.files["/a.safetensors"] = some_bytes(size)
    with pytest.raises(ChecksumMismatch, match=rf"expected 3000000 bytes\n  found    {size} bytes"):
        bring([file_of(web)], store)
    assert leftovers(store) == []


@pytest.mark.parametrize(
    ("status", "says"), [(404, "does not exist"), (401, "refuses access"), (403, "refuses access")]
)
def test_refusals_are_not_repeated(web: WebServer, store: Store, status: int, says: str) -> None:
    web.fail("/a.safetensors", Fault(status=status))
    with pytest.raises(SourceError, match=says) as caught:
        bring([file_of(web)], store)
    assert len(web.seen) == 1
    assert ("netrc" in caught.value.next_action) is (status != 404)


def test_a_server_error_is_tried_again(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(status=500), Fault(status=502))
    diary = bring([file_of(web)], store)
    assert [text.split(";")[0] for _, text in diary.notes] == [
        "the server answers 500 Internal Server Error",
        "the server answers 502 Bad Gateway",
    ]
    check_held(store, file_of(web))


def test_a_server_that_stays_broken_is_given_up(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", *[Fault(status=500)] * 9)
    with pytest.raises(SourceError, match="3 times in a row"):
        bring([file_of(web)], store)
    assert len(web.seen) == 3


def test_retry_after_is_waited_for(web: WebServer, store: Store) -> None:
    pauses: list[float] = []
    web.fail("/a.safetensors", Fault(status=429, headers={"Retry-After": "2"}))
    bring([file_of(web)], store, RetryPolicy(attempts=3, max_retry_after=2.0, pause=pauses.append))
    assert pauses == [2.0]
    check_held(store, file_of(web))


def test_too_long_a_wait_is_told_instead_of_waited(web: WebServer, store: Store) -> None:
    pauses: list[float] = []
    web.fail("/a.safetensors", Fault(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(SourceError, match="asks to wait 3600 s"):
        bring([file_of(web)], store, RetryPolicy(attempts=3, max_retry_after=2.0, pause=pauses.append))
    assert pauses == []


def test_a_redirect_is_followed(web: WebServer, store: Store) -> None:
    web.redirects["/moved"] = f"{web.url}/a.safetensors"
    bring([locked("a", f"http:{web.url}/moved", DATA)], store)
    check_held(store, file_of(web))


def test_no_network_says_so_and_what_to_do(store: Store) -> None:
    with socket.socket() as taken:  # bound and not listening: nothing answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}/a?signature=secret"
        with pytest.raises(NoNetwork, match="cannot be reached") as caught:
            bring([locked("a", f"http:{url}", DATA)], store)
    assert "SSL_CERT_FILE" in caught.value.next_action
    assert "secret" not in str(caught.value)


def test_one_failure_stops_the_others_and_keeps_what_they_have(web: WebServer, store: Store) -> None:
    web.files["/b"] = some_bytes(2_000_000, seed=2)
    web.fail("/b", *[Fault(stall=500_000)] * 3)
    web.fail("/a.safetensors", Fault(status=404))
    other = file_of(web, "b", web.files["/b"])
    with pytest.raises(SourceError, match="does not exist"):
        bring([file_of(web), other], store, IMPATIENT)
    assert len(web.requests("/b")) <= 1
    bring([other], store, IMPATIENT)
    check_held(store, other, web.files["/b"])


def test_many_files_come_at_the_same_time(web: WebServer, store: Store) -> None:
    files = []
    for index in range(12):
        web.files[f"/{index}"] = some_bytes(50_000, seed=index)
        files.append(file_of(web, str(index), web.files[f"/{index}"]))
    diary = bring([*files, *files], store)
    assert len(web.seen) == 12
    assert diary.closed
    assert {name: done for name, done, _ in diary.reports} == {file.path: 50_000 for file in files}
    bring(files, store)
    assert len(web.seen) == 12
