"""Caches and folders that are reached through symbolic links, and links that leave a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.huggingface import HuggingFace
from prebake.checkpoints.sources.local_folder import Local
from prebake.checkpoints.sources.modelscope import ModelScope
from prebake.checkpoints.sources.symlinks import foreign_links
from prebake.checkpoints.store.store import Store
from prebake.errors import SourceError
from prebake.spec.image.sources import FromLocal, FromModelScope
from tests.support.checkpoint_servers import hubserver, modelscopeserver
from tests.support.checkpoint_servers.hubserver import serve_hub
from tests.support.checkpoint_servers.modelscopeserver import serve_modelscope
from tests.support.checkpoints.fetched import lock
from tests.support.checkpoints.parts import HASTY, Diary, locked, named, sha256, some_bytes

NAME, WEIGHTS = "onnx/model.onnx", some_bytes(300_000)


def spec(folder: Path, *files: str) -> FromLocal:
    return named(FromLocal, "local", folder=str(folder), files=files or (NAME,))


def check_local(folder: Path, store: Store) -> None:
    (file,) = lock(store, Local(Path("/")), spec(folder)).files
    assert file.sha256 == sha256(WEIGHTS)
    assert store.place(file.sha256).read_bytes() == WEIGHTS


def linked(path: Path, target: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("through", ["HF_HOME", "HF_HUB_CACHE", "nothing"])
def test_the_hubs_cache_is_read_through_links(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    through: str,
    shared: bool,
) -> None:
    real = tmp_path / "disk"
    (real / "hub").mkdir(parents=True)
    home = linked(tmp_path / "home", real) if through == "HF_HOME" else tmp_path / "home"
    cache = linked(tmp_path / "cache", real / "hub") if through == "HF_HUB_CACHE" else home / "hub"
    with serve_hub() as server:
        server.publish(NAME, WEIGHTS, large=True)
        path = hf_hub_download(
            hubserver.REPOSITORY, NAME, revision=hubserver.COMMIT, endpoint=server.url, cache_dir=cache
        )
        if shared:  # as huggingface_hub 2 keeps the blobs of files that lie in Xet
            blob = Path(path).resolve()
            moved = Path(cache, "blobs", "ab", blob.name)
            moved.parent.mkdir(parents=True)
            blob.rename(moved)
            blob.symlink_to(os.path.relpath(moved, blob.parent))
        before = len(server.seen) + len(server.cdn.seen)
        source = HuggingFace(endpoint=server.url, cache=cache, retry_policy=HASTY)
        file = locked(NAME, f"hub:{hubserver.REPOSITORY}", WEIGHTS, revision=hubserver.COMMIT, locator=NAME)
        fetch([file], store, {"hub": source}, Diary())
        assert len(server.seen) + len(server.cdn.seen) == before
    assert store.place(file.sha256).stat().st_nlink == 1
    assert Path(path).is_symlink()
    snapshot = cache / f"models--{hubserver.REPOSITORY.replace('/', '--')}" / "snapshots" / hubserver.COMMIT
    check_local(snapshot, Store(tmp_path / "second"))
    check_local(linked(tmp_path / "mine", snapshot), Store(tmp_path / "third"))
    assert list(foreign_links(snapshot / "onnx", ["model.onnx"])) == []
    assert "leaves" not in capsys.readouterr().err


@pytest.mark.parametrize("legacy", [True, False])
def test_modelscopes_cache_is_read_through_links(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    with serve_modelscope() as server:
        server.publish("model.safetensors", WEIGHTS, large=True)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        (tmp_path / "disk").mkdir()
        monkeypatch.setenv("MODELSCOPE_CACHE", str(linked(tmp_path / "ms", tmp_path / "disk")))
        owner, _, name = modelscopeserver.REPOSITORY.partition("/")
        folder = tmp_path / "disk/models" / (f"{owner}/{name}" if legacy else f"{owner}--{name}/snapshots/master")
        blob = tmp_path / "elsewhere/blob"
        blob.parent.mkdir()
        blob.write_bytes(WEIGHTS)
        linked(folder / "model.safetensors", blob)
        source = {"modelscope": ModelScope(retry_policy=HASTY)}
        origin = f"modelscope:{modelscopeserver.REPOSITORY}@master"
        commit = modelscopeserver.COMMIT
        file = locked("model.safetensors", origin, WEIGHTS, revision=commit, locator="model.safetensors")
        fetch([file], store, source, Diary())
        assert server.cdn.seen == []
    assert store.place(file.sha256).read_bytes() == WEIGHTS


def test_a_layout_without_revisions_pins_nothing_without_a_checksum(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_modelscope() as server:
        server.publish("notes.txt", b"of this commit\n", large=False, told=False)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
        stale = tmp_path / "models" / modelscopeserver.REPOSITORY / "notes.txt"
        stale.parent.mkdir(parents=True)
        stale.write_bytes(b"of an old one\n\n")
        asked = named(
            FromModelScope,
            "modelscope",
            repository=modelscopeserver.REPOSITORY,
            revision="master",
            files=("notes.txt",),
        )
        (file,) = lock(store, ModelScope(retry_policy=HASTY), asked).files
    assert file.sha256 == sha256(b"of this commit\n")


def within(folder: Path) -> Path:
    (folder / "blob").write_bytes(WEIGHTS)
    return linked(folder / NAME, Path("../blob"))


def strangers(folder: Path) -> Path:
    (folder.parent / "secret").write_bytes(WEIGHTS)
    return linked(folder / NAME, folder.parent / "secret")


def strangers_folder(folder: Path) -> Path:
    (folder.parent / "private").mkdir()
    (folder.parent / "private/model.onnx").write_bytes(WEIGHTS)
    return linked(folder / "onnx", folder.parent / "private")


def nearly_a_cache(folder: Path) -> Path:
    """Of one repository's snapshot into another's blobs."""
    blob = folder.parent / "models--other--name/blobs/abc"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(WEIGHTS)
    return linked(folder / NAME, blob)


@pytest.mark.parametrize(
    ("make", "told"), [(within, False), (strangers, True), (strangers_folder, True), (nearly_a_cache, True)]
)
def test_a_link_that_leaves_its_folder_is_told(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], Path], told: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    check_local(folder, store)
    said = capsys.readouterr().err
    assert (f"{folder / NAME} is a link to a file outside of {folder}" in said) == told


def test_a_link_to_nothing_is_told_as_one(store: Store, tmp_path: Path) -> None:
    linked(tmp_path / NAME, Path("../gone"))
    with pytest.raises(SourceError, match=r"has no file onnx/model.onnx \(a link to ../gone, which does not exist\)"):
        lock(store, Local(Path("/")), spec(tmp_path))
