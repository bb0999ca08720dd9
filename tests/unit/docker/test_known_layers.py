"""Layers of an Engine's images: each image is inspected once, by whichever process comes first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from prebake.docker.images.images import diff_ids_by_name, list_diff_ids
from prebake.docker.images.known_layers import MAX_IMAGES, KnownLayers
from tests.support.engines.stub_engine import stub_engine


@dataclass
class Images:
    """The images of an Engine. ``images``: by ID, the names and the layers; None for the layers of an image that is removed
    meanwhile. ``inspected``: the IDs that were asked for, in order."""

    images: dict[str, tuple[list[str], list[str] | None]]
    inspected: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, object]:
        place = path.partition("?")[0]
        if place.endswith("/images/json"):
            filters = json.loads(parse_qs(urlsplit(path).query).get("filters", ["{}"])[0])
            named_alone = filters == {"dangling": ["false"]}
            listed = {name: tags for name, (tags, _) in self.images.items() if tags or not named_alone}
            return 200, [{"Id": name, "RepoTags": tags} for name, tags in listed.items()]
        name = place.split("/images/")[1].removesuffix("/json")
        self.inspected.append(name)
        tags, layers = self.images[name]
        if layers is None:
            return 404, {"message": "no such image"}
        return 200, {"Id": name, "RepoTags": tags, "RootFS": {"Layers": layers}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREBAKE_CACHE", str(tmp_path))
    return tmp_path


def test_an_image_is_inspected_once() -> None:
    engine = Images({"one": (["a:1", "a:2"], ["x", "y"]), "two": ([], ["y", "z"])})
    with stub_engine(engine.answer) as connection:
        assert list_diff_ids(connection) == {"x", "y", "z"}
        assert diff_ids_by_name(connection) == {"a:1": {"x", "y"}, "a:2": {"x", "y"}}
        assert sorted(engine.inspected) == ["one", "two"]
        engine.images["three"] = (["b:1"], ["w"])
        engine.images["two"] = (["a:1"], ["y", "z"])  # a name moves, an image stays
        engine.images["one"] = ([], ["x", "y"])
        assert diff_ids_by_name(connection) == {"a:1": {"y", "z"}, "b:1": {"w"}}
        assert sorted(engine.inspected) == ["one", "three", "two"]


def test_an_image_without_a_name_is_not_asked_for_if_names_are_wanted() -> None:
    engine = Images({"one": (["a:1"], ["x"]), "two": ([], ["y"])})
    with stub_engine(engine.answer) as connection:
        assert diff_ids_by_name(connection) == {"a:1": {"x"}}
        assert engine.inspected == ["one"]
        assert list_diff_ids(connection) == {"x", "y"}


def test_an_image_that_goes_or_is_not_here_yet_is_asked_for_again() -> None:
    engine = Images({"gone": (["a:1"], None), "young": (["b:1"], [])})
    with stub_engine(engine.answer) as connection:
        assert diff_ids_by_name(connection) == {"b:1": frozenset()}
        engine.images["young"] = (["b:1"], ["x"])
        assert diff_ids_by_name(connection) == {"b:1": {"x"}}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"one": 3}', b'{"one": [3]}', b"[" * 100_000])
def test_a_broken_file_is_an_empty_one(cache: Path, content: bytes) -> None:
    (cache / "engine-images.json").write_bytes(content)
    with stub_engine(Images({"one": (["a:1"], ["x"])}).answer) as connection:
        assert diff_ids_by_name(connection) == {"a:1": {"x"}}
    assert KnownLayers(cache / "engine-images.json").get("one") == ["x"]


def test_a_folder_that_cannot_be_written_is_no_fault(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("PREBAKE_CACHE", str(cache / "file"))
    with stub_engine(Images({"one": (["a:1"], ["x"])}).answer) as connection:
        assert list_diff_ids(connection) == {"x"}


def test_the_file_keeps_the_newest_images(tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    known = KnownLayers(path)
    for number in range(MAX_IMAGES + 2):
        known.add(str(number), [f"layer {number}"])
    known.save()
    again = KnownLayers(path)
    assert [again.get(name) for name in ("0", "1", "2")] == [None, None, ["layer 2"]]
    assert again.get(str(MAX_IMAGES + 1)) == [f"layer {MAX_IMAGES + 1}"]
