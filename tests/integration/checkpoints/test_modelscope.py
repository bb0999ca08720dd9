"""ModelScope as a source, by its own library, against a loopback server that speaks its API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.modelscope import ModelScope
from prebake.checkpoints.store.store import Store
from prebake.errors import NoNetwork, SourceError
from prebake.plan.lock_check import expect_files
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromModelScope
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.modelscopeserver import COMMIT, REPOSITORY, ModelScopeServer, serve_modelscope
from tests.support.checkpoint_servers.webserver import Fault
from tests.support.checkpoints.parts import HASTY, Diary, named, sha256, some_bytes

WEIGHTS = some_bytes(800_000)
CONFIG = b'{"hidden_size": 4}\n'
pytestmark = pytest.mark.filterwarnings("ignore:Environment variable MODELSCOPE_DOMAIN:FutureWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelScopeServer]:
    with serve_modelscope() as server:
        server.publish("model.safetensors", WEIGHTS, large=True)
        server.publish("config.json", CONFIG, large=False)
        monkeypatch.delenv("MODELSCOPE_ENDPOINT", raising=False)
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-secret")
        monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
        monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
        yield server


def checkpoint(revision: str = "master", *files: str, repository: str = REPOSITORY) -> Checkpoint:
    names = files or ("model.safetensors", "config.json")
    spec = named(
        FromModelScope, "modelscope", repository=repository, revision=revision, files=names, ship=names[:1], to="te"
    )
    return Checkpoint(license=License(id="MIT"), sources=(spec,))


def lock(store: Store, asked: Checkpoint) -> tuple[LockedFile, ...]:
    return resolve(asked, store, {"modelscope": ModelScope(retry_policy=HASTY)}, Diary()).files


def bring(files: tuple[LockedFile, ...], store: Store) -> Diary:
    diary = Diary()
    fetch(files, store, {"modelscope": ModelScope(retry_policy=HASTY)}, diary)
    return diary


def test_a_branch_is_pinned_to_the_commit_that_wrote_each_file(hub: ModelScopeServer, store: Store) -> None:
    config, weights = lock(store, checkpoint())
    assert (weights.path, weights.source) == ("te/model.safetensors", f"modelscope:{REPOSITORY}@master")
    assert (weights.revision, weights.locator, weights.ship) == (COMMIT, "model.safetensors", True)
    assert (weights.size, weights.sha256) == (len(WEIGHTS), sha256(WEIGHTS))
    assert (config.size, config.sha256, config.ship) == (len(CONFIG), sha256(CONFIG), False)
    assert hub.cdn.seen == []  # every checksum is published: nothing is downloaded to lock
    by_commit = lock(store, checkpoint(COMMIT))[1]
    assert (by_commit.source, by_commit.revision) == (f"modelscope:{REPOSITORY}", COMMIT)
    for revision, file in (("master", weights), (COMMIT, by_commit)):
        expected = expect_files(checkpoint(revision))["te/model.safetensors"]
        assert (expected.source, expected.revision or COMMIT) == (file.source, file.revision)


def test_files_come_and_a_cut_goes_on_at_the_other_host(hub: ModelScopeServer, store: Store) -> None:
    hub.cdn.fail(f"/{sha256(WEIGHTS)}", Fault(cut=300_000))
    bring(lock(store, checkpoint()), store)
    assert [seen.headers.get("range") for seen in hub.cdn.seen] == [None, "bytes=300000-"]
    assert store.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS
    assert store.place(sha256(CONFIG)).read_bytes() == CONFIG


def test_the_token_goes_to_the_hub_and_is_told_nowhere_else(
    hub: ModelScopeServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    hub.token = "ms-secret"
    diary = bring(lock(store, checkpoint()), store)
    assert {seen.headers["authorization"] for seen in hub.seen} == {"Bearer ms-secret"}
    assert [seen.headers.keys() & {"authorization", "cookie"} for seen in hub.cdn.seen] == [set()]
    assert "ms-secret" not in caplog.text + str(diary.notes)


def test_the_user_s_own_cache_is_used_first(hub: ModelScopeServer, store: Store, tmp_path: Path) -> None:
    from modelscope_hub import HubApi
    from modelscope_hub.config import HubConfig

    files = lock(store, checkpoint())
    for revision in ("master", COMMIT):
        downloaded = HubApi(HubConfig()).download_file(REPOSITORY, "model", "model.safetensors", revision=revision)
        assert downloaded.is_relative_to(tmp_path / "ms")
        before = len(hub.cdn.seen)
        other = Store(tmp_path / revision)
        bring(files, other)
        assert len(hub.cdn.seen) == before
        assert other.place(sha256(WEIGHTS)).stat().st_nlink == 1
        downloaded.unlink()


def test_a_spoilt_cache_is_passed_over(hub: ModelScopeServer, store: Store, tmp_path: Path) -> None:
    place = tmp_path / "ms" / "models" / "someone--model" / "snapshots" / "master" / "model.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"spoilt")
    diary = bring(lock(store, checkpoint()), store)
    assert any("another checksum" in text for _, text in diary.notes)
    assert store.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS


def test_a_branch_s_cache_pins_nothing_without_a_checksum(hub: ModelScopeServer, store: Store, tmp_path: Path) -> None:
    """It may be of an older commit than the one that the lock names."""
    hub.publish("notes.txt", b"of this commit\n", large=False, told=False)
    place = tmp_path / "ms" / "models" / "someone--model" / "snapshots" / "master" / "notes.txt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"of an old one\n\n")
    (file,) = lock(store, checkpoint("master", "notes.txt"))
    assert (file.revision, file.sha256) == (COMMIT, sha256(b"of this commit\n"))


def test_what_is_not_there(hub: ModelScopeServer, store: Store) -> None:
    with pytest.raises(SourceError, match=r"has no file nothing, neither"):
        lock(store, checkpoint("master", "nothing", "config.json", "neither"))
    for asked in (checkpoint("v9"), checkpoint(repository="someone/else")):
        with pytest.raises(SourceError, match="does not exist, or is private"):
            lock(store, asked)


def test_who_may_not_read_is_told_about_the_token(hub: ModelScopeServer, store: Store) -> None:
    hub.token = "another"
    with pytest.raises(SourceError, match="This account may not read") as caught:
        lock(store, checkpoint())
    assert "MODELSCOPE_API_TOKEN" in caught.value.next_action
    assert "ms-secret" not in str(caught.value)


def test_nobody_answers(hub: ModelScopeServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "http://127.0.0.1:9")  # the port of "discard", which nothing serves
    with pytest.raises(NoNetwork, match=rf"{REPOSITORY} at master cannot be reached"):
        lock(store, checkpoint())


def test_the_library_is_named_where_it_is_not_installed_and_loaded_only_for_this() -> None:
    code = """
import sys
from pathlib import Path
from prebake.checkpoints.sources.kinds import open_sources
from prebake.errors import SourceError
from prebake.spec.image.sources import FromModelScope
source = open_sources(Path("."), "x")["modelscope"]
print("modelscope_hub" in sys.modules)
sys.modules["modelscope_hub"] = None
asked = FromModelScope.model_validate({"from": "modelscope", "repository": "a/b", "revision": "c", "files": ("d",)})
try:
    source.resolve(asked)
except SourceError as error:
    print(error.message, error.next_action)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("False\n`from: modelscope` needs the package modelscope-hub")
    assert "pip install modelscope-hub" in said
