"""``prebake cache``: what the store holds, whether it is whole, and what goes from it when."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.oci.records.layer_records import FileRecord, LayerRecord, Records
from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve
from tests.support.checkpoints.parts import sha256, some_bytes
from tests.support.commands.projects import Ended, Project, clone, reach, read_lock


class Cache:
    """A project, with a store of its own in which its checkpoint and one object of nobody's lie."""

    def __init__(self, root: Path) -> None:
        self.project = clone(root / "project", "toy", variables={"PREBAKE_CACHE": str(root / "cache")})
        self.store = Store(root / "cache" / "store")
        folder = self.project.root / "checkpoint"
        for name in ("first/model.safetensors", "second.pth"):
            self.store.add_file(folder / name)
        self.pinned = {file.sha256 for file in read_lock(self.project).checkpoints["small"].files}
        self.stray = self.add(some_bytes(5000))

    def add(self, data: bytes) -> str:
        return self.store.add_stream([data], sha256=None, name="x", origin="a test").sha256

    def record(self) -> set[str]:
        """Two objects that only a record speaks of."""
        made, blob = self.add(b"made"), self.add(b"blob")
        layer = LayerRecord("sha256:0", "t", f"sha256:{blob}", 4, "", 4, (FileRecord("models/a", made, 4),))
        Records(self.store.root).put_layers("ab" * 32, (layer,))
        return {made, blob}

    def held(self) -> set[str]:
        return {path.name for path in (self.store.root / "sha256").glob("??/*")}

    def run(self, *words: str, **variables: str) -> Ended:
        return self.project.run("cache", *words, **variables)

    def document(self, *words: str, **variables: str) -> dict[str, Any]:
        return dict(json.loads(self.run(*words, "--json", **variables).expect(0).stdout))

    def spoil(self, digest: str) -> None:
        path = self.store.place(digest)
        path.chmod(0o644)
        path.write_bytes(b"rot" + path.read_bytes()[3:])


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def test_the_list_has_every_object_and_what_was_not_finished(cache: Cache, tmp_path: Path) -> None:
    cache.store.partial_path("0" * 64).write_bytes(b"half")
    cache.store.partial_path("0" * 64).with_name("0" * 64 + ".tag").write_text('"etag"')
    cache.store.link_into(tmp_path / "elsewhere", "model", cache.stray)
    listed = cache.document("list")
    objects = {each["sha256"]: each for each in listed["objects"]}
    assert set(objects) == cache.pinned | {cache.stray}
    assert (objects[cache.stray]["size"], objects[cache.stray]["links"]) == (5000, 1)
    assert listed["bytes"] == sum(path.stat().st_size for path in (cache.store.root / "sha256").glob("??/*"))
    assert listed["unfinished"] == [{"key": "0" * 64, "size": 4}]
    text = cache.run("list").expect(0).stdout
    assert cache.stray in text
    assert "objects     3" in text


def test_what_went_while_the_list_was_made_is_left_out(cache: Cache) -> None:
    cache.store.partial_path("0" * 64).symlink_to("renamed")  # listed, and gone for who asks more
    assert cache.document("list")["unfinished"] == []


def test_an_empty_store_is_no_error(cache: Cache, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "new")
    assert cache.document("list", PREBAKE_CACHE=nowhere)["objects"] == []
    cache.run("verify", PREBAKE_CACHE=nowhere).expect(0)
    cache.run("prune", PREBAKE_CACHE=nowhere).expect(0)


def test_verify_tells_all_damage_at_once_and_removes_nothing(cache: Cache) -> None:
    assert "3 objects have the digest of their name" in cache.run("verify").expect(0).stdout
    other = cache.add(some_bytes(300, seed=3))
    cache.spoil(cache.stray)
    cache.spoil(other)
    ended = cache.run("verify").expect(38)
    assert cache.stray in ended.stderr
    assert other in ended.stderr
    assert sha256(b"rot" + some_bytes(5000)[3:]) in ended.stderr
    assert "--repair" in ended.stderr
    assert {cache.stray, other} <= cache.held()


def test_repair_removes_the_damaged_and_them_alone(cache: Cache) -> None:
    cache.spoil(cache.stray)
    ended = cache.run("verify", "--repair").expect(0)
    assert cache.stray in ended.stdout
    assert cache.held() == cache.pinned
    cache.run("verify").expect(0)


def test_repair_removes_nothing_while_a_build_uses_the_store(cache: Cache) -> None:
    cache.spoil(cache.stray)
    with cache.store.in_use():
        ended = cache.run("verify", "--repair").expect(50)
    assert "A build uses the store" in ended.stderr
    assert cache.stray in cache.held()


def test_prune_takes_what_was_not_finished_and_no_object(cache: Cache) -> None:
    cache.store.partial_path("0" * 64).write_bytes(b"half")
    (cache.store.root / "temp" / "1-killed").write_bytes(b"left by a kill")
    before = cache.held()
    pruned = cache.document("prune")
    assert (pruned["bytes"], pruned["objects"]) == (4, [])
    assert cache.held() == before
    assert [*(cache.store.root / "partial").iterdir(), *(cache.store.root / "temp").iterdir()] == []


def test_a_download_that_goes_on_elsewhere_is_left(cache: Cache) -> None:
    key = "0" * 64
    cache.store.partial_path(key).write_bytes(b"half")
    with cache.store.lock(key):
        ended = cache.run("prune").expect(0)
    assert f"{key} is being downloaded" in ended.stderr
    assert cache.store.partial_path(key).read_bytes() == b"half"


def test_keep_removes_what_this_project_does_not_need(cache: Cache) -> None:
    told = cache.document("prune", "--keep", "--dry-run")
    assert [each["sha256"] for each in told["objects"]] == [cache.stray]
    assert cache.stray in cache.held()
    ended = cache.run("prune", "--keep").expect(0)
    assert "1 objects, 4.9 KiB" in ended.stderr
    assert cache.held() == cache.pinned


def test_keep_looks_at_every_project_that_is_named(cache: Cache, tmp_path: Path) -> None:
    other = clone(tmp_path / "other", "toy")
    path = other.root / "images" / "toy" / "weights.lock"
    (second,) = [file for file in read_lock(other).checkpoints["small"].files if not file.ship]
    path.write_text(path.read_text().replace(second.sha256, cache.stray))
    cache.run("prune", "--keep", str(cache.project.root), str(other.root)).expect(0)
    assert cache.held() == cache.pinned | {cache.stray}
    cache.run("prune", "--keep", str(other.root)).expect(0)
    assert cache.held() == (cache.pinned - {second.sha256}) | {cache.stray}


def test_a_folder_that_is_no_project_removes_nothing(cache: Cache, tmp_path: Path) -> None:
    before = cache.held()
    ended = cache.run("prune", "--keep", str(tmp_path)).expect(11)
    assert "no images/*/image.yaml" in ended.stderr
    assert cache.held() == before


def test_without_an_engine_what_any_record_speaks_of_stays(cache: Cache) -> None:
    made = cache.record()
    ended = cache.run("prune", "--keep", DOCKER_HOST=f"unix://{cache.project.root}/no.sock").expect(0)
    assert "the objects of all records are kept" in ended.stderr
    assert cache.held() == cache.pinned | made


class EmptyEngine(WebServer):
    """An Engine that answers, and has no image."""

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        known = {"/version": b'{"ApiVersion": "1.44"}', "/_ping": b"OK"}
        body = next((known[each] for each in known if seen.path.endswith(each)), b"")
        missing = b'{"message": "No such image"}'
        headers = {"Content-Type": "application/json"}
        self._send(handler, seen, 200 if body else 404, headers, body or missing, Fault())


def test_where_the_engine_has_no_base_what_any_record_speaks_of_stays(cache: Cache, engine: Connection) -> None:
    made = cache.record()
    with serve(EmptyEngine()) as empty:
        there = {**reach(engine), "DOCKER_HOST": empty.url.replace("http", "tcp")}
        ended = cache.run("prune", "--keep", **there).expect(0)
    assert "the Engine has no base for toy (python:3.11-slim-bookworm)" in ended.stderr
    assert cache.held() == cache.pinned | made


def test_a_store_in_use_loses_no_object(cache: Cache) -> None:
    before = cache.held()
    with cache.store.in_use():
        ended = cache.run("prune", "--keep").expect(50)
        cache.run("prune").expect(0)
    assert "A build uses the store" in ended.stderr
    assert cache.held() == before


def test_a_build_holds_the_store_and_afterwards_nothing_that_it_made_goes(project: Project, tag: str) -> None:
    apart = {"PREBAKE_CACHE": str(project.root / "cache")}
    with project.started("--model", "toy", "--tag", tag, **apart) as child:
        child.wait_for("layers:")
        assert "A build uses the store" in project.run("cache", "prune", "--keep", **apart).expect(50).stderr
        child.end(300).expect(0)
    store = Store(project.root / "cache" / "store")
    made = {path.name for path in (store.root / "sha256").glob("??/*")}
    stray = store.add_stream([b"nobody's"], sha256=None, name="x", origin="a test").sha256
    ended = project.run("cache", "prune", "--keep", "--json", **apart).expect(0)
    assert [each["sha256"] for each in json.loads(ended.stdout)["objects"]] == [stray]
    assert {path.name for path in (store.root / "sha256").glob("??/*")} == made
    assert "in a container of" not in project.run("--model", "toy", "--tag", tag, **apart).expect(0).stderr


def test_an_image_that_cannot_be_read_keeps_what_any_record_speaks_of(cache: Cache) -> None:
    """It has no lock: of several models, or never locked, it does not tell any more."""
    made = cache.record()
    folder = cache.project.root / "images" / "pair"
    folder.mkdir()
    (folder / "image.yaml").write_text("schema: 2\nname: pair\nmodels: {toy: {}, tvin: {}}\n")
    ended = cache.run("prune", "--keep").expect(0)
    assert "pair cannot be planned" in ended.stderr
    assert cache.held() == cache.pinned | made
