"""The hub as a source, against a loopback server that speaks its API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.huggingface import HuggingFace
from prebake.checkpoints.store.store import Store
from prebake.errors import NoNetwork, SourceError
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromHub
from prebake.spec.lock import LockedCheckpoint
from tests.support.checkpoint_servers.hubserver import COMMIT, REPOSITORY, HubServer, serve_hub
from tests.support.checkpoint_servers.webserver import Fault
from tests.support.checkpoints.parts import HASTY, Diary, named, sha256, some_bytes
from tests.support.repository import ROOT

WEIGHTS = some_bytes(800_000)
CONFIG = b'{"hidden_size": 4}\n'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serve_hub() as server:
        server.publish("model.safetensors", WEIGHTS, large=True)
        server.publish("config.json", CONFIG, large=False)
        yield server


def source(hub: HubServer, tmp_path: Path) -> HuggingFace:
    return HuggingFace(endpoint=hub.url, cache=tmp_path / "hf", retry_policy=HASTY)


def asked(revision: str = "main", *files: str, repository: str = REPOSITORY) -> FromHub:
    names = files or ("model.safetensors", "config.json")
    return named(FromHub, "hub", repository=repository, revision=revision, files=names, ship=names[:1], to="clap")


def lock(hub: HubServer, store: Store, tmp_path: Path, revision: str = "main") -> LockedCheckpoint:
    checkpoint = Checkpoint(license=License(id="MIT"), sources=(asked(revision),))
    return resolve(checkpoint, store, {"hub": source(hub, tmp_path)}, Diary())


def test_a_reference_is_pinned_to_a_commit(hub: HubServer, store: Store, tmp_path: Path) -> None:
    config, weights = lock(hub, store, tmp_path).files
    assert (weights.path, weights.source) == ("clap/model.safetensors", f"hub:{REPOSITORY}@main")
    assert (weights.revision, weights.locator, weights.ship) == (COMMIT, "model.safetensors", True)
    assert (weights.size, weights.sha256) == (len(WEIGHTS), sha256(WEIGHTS))
    assert (config.size, config.sha256, config.ship) == (len(CONFIG), sha256(CONFIG), False)
    assert lock(hub, store, tmp_path, COMMIT).files[1].source == f"hub:{REPOSITORY}"


def test_only_what_has_no_published_checksum_is_downloaded_to_lock(
    hub: HubServer, store: Store, tmp_path: Path
) -> None:
    locked = lock(hub, store, tmp_path)
    assert hub.cdn.seen == []
    assert store.get(sha256(CONFIG)) is not None
    fetch(locked.files, store, {"hub": source(hub, tmp_path)}, Diary())
    path = store.get(sha256(WEIGHTS))
    assert path is not None
    assert path.read_bytes() == WEIGHTS


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: HubServer, store: Store, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    fetch(lock(hub, store, tmp_path).files, store, {"hub": source(hub, tmp_path)}, Diary())
    assert {seen.headers["authorization"] for seen in hub.seen} == {"Bearer hf_secret"}
    assert ["authorization" in seen.headers for seen in hub.cdn.seen] == [False]


def test_a_cut_goes_on_at_the_other_host(hub: HubServer, store: Store, tmp_path: Path) -> None:
    hub.cdn.fail(f"/{sha256(WEIGHTS)}", Fault(cut=300_000))
    fetch(lock(hub, store, tmp_path).files, store, {"hub": source(hub, tmp_path)}, Diary())
    assert [seen.headers.get("range") for seen in hub.cdn.seen] == [None, "bytes=300000-"]
    assert store.get(sha256(WEIGHTS)) is not None


def test_the_hub_s_own_cache_is_used_first(hub: HubServer, store: Store, tmp_path: Path) -> None:
    files = lock(hub, store, tmp_path).files
    hf_hub_download(REPOSITORY, "model.safetensors", revision=COMMIT, endpoint=hub.url, cache_dir=tmp_path / "hf")
    before = len(hub.seen) + len(hub.cdn.seen)
    fetch(files, store, {"hub": source(hub, tmp_path)}, Diary())
    assert len(hub.seen) + len(hub.cdn.seen) == before
    stored = store.get(sha256(WEIGHTS))
    assert stored is not None
    assert stored.stat().st_nlink == 1


def test_a_spoilt_hub_cache_is_passed_over(hub: HubServer, store: Store, tmp_path: Path) -> None:
    files = lock(hub, store, tmp_path).files
    cached = Path(
        hf_hub_download(REPOSITORY, "model.safetensors", revision=COMMIT, endpoint=hub.url, cache_dir=tmp_path / "hf")
    ).resolve()
    cached.chmod(0o644)
    cached.write_bytes(WEIGHTS[:-1] + b"?")
    diary = Diary()
    fetch(files, store, {"hub": source(hub, tmp_path)}, diary)
    assert any("another checksum" in text for _, text in diary.notes)
    assert store.get(sha256(WEIGHTS)) is not None


def test_a_hub_that_is_down_for_a_moment(hub: HubServer, tmp_path: Path) -> None:
    hub.fail(f"/api/models/{REPOSITORY}/revision/main", Fault(status=503), Fault(status=500))
    assert len(source(hub, tmp_path).resolve(asked())) == 2


@pytest.mark.parametrize(
    ("refusal", "says", "next_action"),
    [
        ((403, "GatedRepo"), "is gated", "HF_TOKEN"),
        ((401, "RepoNotFound"), "does not exist, or is private", "HF_TOKEN"),
        ((403, ""), "refuses access", "HF_TOKEN"),
        ((418, ""), "the hub answers 418", "repository"),
        ((500, ""), "the hub answers 500", "try again later"),
    ],
)
def test_refusals(hub: HubServer, tmp_path: Path, refusal: tuple[int, str], says: str, next_action: str) -> None:
    hub.refusal = refusal
    with pytest.raises(SourceError, match=says) as caught:
        source(hub, tmp_path).resolve(asked())
    assert next_action in caught.value.next_action


def test_a_refused_download_says_token(hub: HubServer, store: Store, tmp_path: Path) -> None:
    files = lock(hub, store, tmp_path).files
    hub.refusal = (403, "GatedRepo")
    with pytest.raises(SourceError, match="refuses access") as caught:
        fetch(files, store, {"hub": source(hub, tmp_path)}, Diary())
    assert "HF_TOKEN" in caught.value.next_action


def test_what_is_not_there(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no file a.bin, b.bin"):
        source(hub, tmp_path).resolve(asked("main", "a.bin", "config.json", "b.bin"))
    with pytest.raises(SourceError, match="has no revision v9"):
        source(hub, tmp_path).resolve(asked("v9"))
    with pytest.raises(SourceError, match="does not exist, or is private"):
        source(hub, tmp_path).resolve(asked(repository="no/body"))


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hub = HuggingFace(endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}", cache=tmp_path, retry_policy=HASTY)
        with pytest.raises(NoNetwork, match="cannot be reached"):
            hub.resolve(asked())


LOCK_AND_FETCH = """
import sys
from pathlib import Path
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from tests.support.silent_progress import silent_progress
from prebake.checkpoints.sources.kinds import open_sources
from prebake.checkpoints.store.store import Store
from prebake.errors import PrebakeError
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromHub
from prebake.spec.lock import LockedFile
store, sources = Store(Path(sys.argv[1])), open_sources(Path("."), "none")
try:
    if sys.argv[2] == "lock":
        names = ("model.safetensors",)
        fields = {"from": "hub", "repository": "someone/model", "revision": "main", "files": names}
        spec = FromHub.model_validate(fields)
        print(resolve(Checkpoint(license=License(id="MIT"), sources=(spec,)), store, sources, silent_progress()).files[0].sha256)
    else:
        name, revision, size, sha256 = sys.argv[3:]
        file = LockedFile(name, "hub:someone/model", revision, name, int(size), sha256, "MIT", True)
        fetch([file], store, sources, silent_progress())
except PrebakeError as error:
    sys.exit(f"{type(error).__name__}: {error} -> {error.next_action}")
"""


def run(store: Store, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = str(ROOT)
    return subprocess.run(
        [sys.executable, "-c", LOCK_AND_FETCH, str(store.root), *words],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_s_endpoint_and_offline_mode(hub: HubServer, store: Store, tmp_path: Path) -> None:
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url}
    assert run(store, "lock", **home).stdout == f"{sha256(WEIGHTS)}\n"
    words = ("fetch", "model.safetensors", COMMIT, str(len(WEIGHTS)), sha256(WEIGHTS))
    offline = run(store, *words, HF_HUB_OFFLINE="1", **home)
    assert offline.returncode == 1
    assert "NoNetwork" in offline.stderr
    assert "unset HF_HUB_OFFLINE" in offline.stderr
    assert "NoNetwork" in run(store, "lock", HF_HUB_OFFLINE="1", **home).stderr
    cache = tmp_path / "home" / "hub"
    hf_hub_download(REPOSITORY, "model.safetensors", revision=COMMIT, endpoint=hub.url, cache_dir=cache)
    assert run(store, *words, HF_HUB_OFFLINE="1", **home).returncode == 0
    assert store.get(sha256(WEIGHTS)) is not None
