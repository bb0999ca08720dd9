"""The hub's fast path: taken if the file lies in Xet storage and the package is there, and left for HTTP when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from prebake.checkpoints.download.http_download import open_client
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.huggingface import HuggingFace
from prebake.checkpoints.sources.xet import Xet
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.hubserver import COMMIT, REPOSITORY
from tests.support.checkpoint_servers.webserver import Fault, serve
from tests.support.checkpoint_servers.xetserver import TOKEN, XetHub, serve_xet
from tests.support.checkpoints.parts import HASTY, Diary, locked, some_bytes
from tests.support.downloads import DATA, check_held, leftovers
from tests.support.repository import ROOT

NAME = "model.safetensors"
PATIENT = replace(HASTY, read=3.0)
"""It waits longer for an answer than a server takes on a busy machine."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[XetHub]:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))  # where the package keeps its logs
    with serve_xet() as server:
        server.publish_in_xet(NAME, DATA)
        yield server


def file_of(data: bytes = DATA) -> LockedFile:
    return locked(NAME, f"hub:{REPOSITORY}@main", data, revision=COMMIT, locator=NAME)


def bring(hub: XetHub, store: Store, file: LockedFile | None = None, *, least: int = 1) -> Diary:
    diary, client = Diary(), open_client(PATIENT)
    xet = Xet(client, PATIENT, least=least)
    source = HuggingFace(endpoint=hub.url, cache=store.root / "hf", retry_policy=PATIENT, client=client, xet=xet)
    fetch([file or file_of()], store, {"hub": source}, diary)
    return diary


def test_a_file_in_xet_storage_comes_from_there(hub: XetHub, store: Store) -> None:
    diary = bring(hub, store)
    check_held(store, file_of())
    assert hub.cdn.seen == []
    assert len(hub.storage.requests("/xorb")) == 1
    assert diary.notes == []
    assert diary.reports[-1] == (NAME, len(DATA), len(DATA))


def test_tokens_go_to_their_own_hosts(hub: XetHub, store: Store) -> None:
    hub.token = "hf_secret"
    bring(hub, store)
    shown = {seen.headers.get("authorization") for seen in hub.storage.seen if "reconstruction" in seen.path}
    assert shown == {f"Bearer {TOKEN}"}
    assert not any("hf_secret" in str(seen.headers) for seen in hub.storage.seen)
    assert hub.cdn.seen == []


def test_a_first_part_is_gone_on_from(hub: XetHub, store: Store) -> None:
    store.partial_path(file_of().sha256).write_bytes(DATA[:1_234_567])
    bring(hub, store)
    assert f"bytes=1234567-{len(DATA) - 1}" in [seen.headers.get("range") for seen in hub.storage.seen]
    check_held(store, file_of())


def test_a_spoilt_first_part_is_thrown_away_and_fetched_once_more(hub: XetHub, store: Store) -> None:
    store.partial_path(file_of().sha256).write_bytes(b"\0" * 1_000_000)
    assert any("another checksum" in text for _, text in bring(hub, store).notes)
    check_held(store, file_of())


@pytest.mark.parametrize("why", ["switched off", "not installed", "small", "elsewhere"])
def test_http_is_taken_where_xet_is_not(hub: XetHub, store: Store, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "switched off":
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    if why == "not installed":
        monkeypatch.setitem(sys.modules, "hf_xet", None)
    if why == "elsewhere":
        del hub.extra[f"/{REPOSITORY}/resolve/{COMMIT}/{NAME}"]["X-Xet-Hash"]
    diary = bring(hub, store, least=len(DATA) + 1 if why == "small" else 1)
    check_held(store, file_of())
    assert (hub.storage.seen, diary.notes, len(hub.cdn.seen)) == ([], [], 1)


def test_a_token_is_asked_of_no_other_host(hub: XetHub, store: Store) -> None:
    with serve() as stranger:
        data = some_bytes(1_000_000, seed=4)
        hub.publish_in_xet("other", data, tokens_at=stranger.url)
        file = locked("other", f"hub:{REPOSITORY}@main", data, revision=COMMIT, locator="other")
        bring(hub, store, file)
        assert (stranger.seen, hub.storage.seen) == ([], [])
        check_held(store, file, data)


def test_a_mirror_gives_tokens_itself(hub: XetHub, store: Store) -> None:
    data = some_bytes(1_000_000, seed=4)
    hub.publish_in_xet("other", data, tokens_at="https://huggingface.co")
    file = locked("other", f"hub:{REPOSITORY}@main", data, revision=COMMIT, locator="other")
    bring(hub, store, file)
    assert hub.cdn.seen == []
    check_held(store, file, data)


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("/reconstruction", Fault(status=500)),
        ("/reconstruction", Fault(status=403)),
        ("/reconstruction", Fault(status=404)),
        ("/xorb", Fault(status=403)),
        ("/xorb", Fault(cut=1_000_000)),
        ("/xorb", Fault(stall=1_000_000)),
    ],
)
def test_when_it_fails_the_file_comes_by_http_and_that_is_told(
    hub: XetHub, store: Store, place: str, fault: Fault
) -> None:
    hub.storage.fail(place, *[fault] * 50)
    diary = bring(hub, store)
    hub.storage.release.set()
    check_held(store, file_of())
    assert any("fast path (hf_xet) failed, continuing by HTTP" in text for _, text in diary.notes)
    assert len(hub.cdn.seen) == 1
    assert "hf_secret" not in str(diary.notes)


def test_a_hub_that_gives_no_token_leaves_it_to_http(hub: XetHub, store: Store) -> None:
    hub.fail(hub.tokens, *[Fault(status=403)] * 50)
    bring(hub, store)
    check_held(store, file_of())
    assert len(hub.cdn.seen) == 1


def test_wrong_bytes_are_named_and_not_kept(hub: XetHub, store: Store) -> None:
    wanted = file_of(some_bytes(len(DATA), seed=7))
    with pytest.raises(ChecksumMismatch) as caught:
        bring(hub, store, wanted)
    assert wanted.sha256 in caught.value.message
    assert leftovers(store) == []


FETCH = """
import signal, sys
from pathlib import Path
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.huggingface import HuggingFace
from prebake.checkpoints.progress import LineProgress
from prebake.checkpoints.store.store import Store
from prebake.checkpoints.download.http_download import DOWNLOAD_RETRY, open_client
from prebake.checkpoints.sources.xet import Xet
from prebake.spec.lock import LockedFile
signal.signal(signal.SIGINT, signal.default_int_handler)
root, url, size, sha256 = sys.argv[1:]
file = LockedFile("a", "hub:someone/model@main", sys.argv[0] and "0123456789abcdef0123456789abcdef01234567",
                  "model.safetensors", int(size), sha256, "", True)
client = open_client(DOWNLOAD_RETRY)
hub = HuggingFace(endpoint=url, cache=Path(root, "hf"), client=client, xet=Xet(client, DOWNLOAD_RETRY, least=1))
fetch([file], Store(Path(root)), {"hub": hub}, LineProgress(sys.stderr))
"""


def test_ctrl_c_stops_at_once(hub: XetHub, store: Store) -> None:
    hub.storage.fail("/xorb", Fault(stall=1_000_000))
    words = [str(store.root), hub.url, str(len(DATA)), file_of().sha256]
    root = str(ROOT)
    child = subprocess.Popen(
        [sys.executable, "-c", FETCH, *words],
        env={**os.environ, "PYTHONPATH": root},
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert hub.storage.stalling.wait(60)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert "prebake.errors.Interrupted: The download of the checkpoint was stopped" in said
    assert child.returncode == 1
