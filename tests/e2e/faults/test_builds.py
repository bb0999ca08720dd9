"""Builds that cannot go on: each says what happened and what to do, has its own exit code, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.errors import EngineError
from prebake.spec.lock import render_lock
from tests.support.commands.leftovers import find_leavings, started_containers
from tests.support.commands.projects import (
    Child,
    Project,
    change_spec,
    clone,
    lock_path,
    pin_unseen,
    pin_weights,
    reach,
    read_lock,
)

NOBODY = "127.0.0.1:9"  # the port of "discard", which nothing serves


def says_what_to_do(stderr: str) -> bool:
    lines = stderr.splitlines()
    first = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return len(first) == 1 and any(line.startswith("  next: ") for line in lines[first[0] :])


def test_no_engine_answers(project: Project, engine: Connection, tag: str) -> None:
    dead = f"unix://{project.root}/no.sock"
    ended = project.run("--model", "toy", "--tag", tag, DOCKER_HOST=dead).expect(20)
    assert dead in ended.stderr
    assert "prebake engine up" in ended.stderr
    assert says_what_to_do(ended.stderr)
    assert not (project.root / "build" / "toy" / "context").exists()


def test_no_room_in_the_store_is_said_before_anything_is_fetched(
    engine: Connection, tmp_path: Path, small_disk: Path
) -> None:
    project = clone(tmp_path / "project", "minilm", variables=reach(engine))
    ended = project.run("--model", "minilm", PREBAKE_CACHE=str(small_disk)).expect(24)
    needed = sum(file.size for file in read_lock(project, "minilm").checkpoints["published"].files)
    assert f"({needed} bytes) are needed" in ended.stderr
    assert "PREBAKE_CACHE" in ended.stderr
    assert says_what_to_do(ended.stderr)
    assert "fetch:" not in ended.stderr
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    assert not (project.root / "build" / "minilm" / "context").exists()


def test_no_room_at_the_engine_is_said_before_anything_is_built(project: Project, engine: Connection, tag: str) -> None:
    """The store has the files already, as far as a look at their size tells: 400 times the same sparse one of 9 GB."""
    size, sha256 = 9 * 10**9, "a" * 64

    def ship_parts(spec: dict[str, Any]) -> None:
        (source,) = spec["checkpoints"]["small"]["sources"]
        for names in (source["files"], source["ship"]):
            names += [f"first/part-{number}.dat" for number in range(400)]

    change_spec(project, ship_parts)
    pin_unseen(project, "toy", "small", size=size)
    lock = json.loads(lock_path(project).read_text())
    for file in lock["checkpoints"]["small"]["files"]:  # what is converted needs room in the store, and is small
        file.update({"sha256": sha256} if file["ship"] else {"size": 1000})
    lock_path(project).write_text(json.dumps(lock))
    place = project.root / "cache" / "store" / "sha256" / sha256[:2] / sha256
    place.parent.mkdir(parents=True)
    with place.open("wb") as sparse:
        sparse.truncate(size)
    ended = project.run("--model", "toy", "--tag", tag, PREBAKE_CACHE=str(project.root / "cache")).expect(24)
    assert "on the disk with the Engine's images" in ended.stderr
    assert "TiB" in ended.stderr
    assert "docker system df" in ended.stderr
    assert "fetch:" not in ended.stderr


def test_a_checksum_that_does_not_match_names_file_and_both_digests(
    project: Project, engine: Connection, tag: str
) -> None:
    weights = project.root / "checkpoint" / "second.pth"
    pinned = {file.path: file.sha256 for file in read_lock(project).checkpoints["small"].files}["second.pth"]
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    cache = project.root / "cache"
    ended = project.run("--model", "toy", "--tag", tag, PREBAKE_CACHE=str(cache)).expect(32)
    for words in ("second.pth", pinned, hashed(content)):
        assert words in ended.stderr, words
    assert says_what_to_do(ended.stderr)
    stored = {path.name for path in (cache / "store" / "sha256").rglob("*") if path.is_file()}
    assert hashed(content) not in stored
    assert pinned not in stored
    assert not list((cache / "store" / "temp").iterdir())
    assert find_leavings(engine, project, tag) == []


def hashed(content: bytes | bytearray) -> str:
    return hashlib.sha256(content).hexdigest()


def test_no_network_says_which_address_and_keeps_what_there_was(project: Project, engine: Connection, tag: str) -> None:
    def publish(document: dict[str, dict[str, dict[str, list[object]]]]) -> None:
        url = f"http://{NOBODY}/second.pth"
        shipped = {"from": "local", "folder": "checkpoint", "files": ["first/model.safetensors"]}
        document["checkpoints"]["small"]["sources"] = [
            {**shipped, "ship": shipped["files"]},
            {"from": "http", "url": url, "files": ["second.pth"]},
        ]

    change_spec(project, publish)
    before = read_lock(project).checkpoints["small"].files
    pin_unseen(project, "toy", "small")
    text = lock_path(project).read_text()
    for file in read_lock(project).checkpoints["small"].files:
        (real,) = [other for other in before if other.path == file.path]
        text = text.replace(file.sha256, real.sha256).replace('"size": 1000', f'"size": {real.size}', 1)
    lock_path(project).write_text(text)
    cache = project.root / "cache"
    ended = project.run("--model", "toy", "--tag", tag, PREBAKE_CACHE=str(cache)).expect(31)
    assert f"http://{NOBODY}/second.pth" in ended.stderr
    assert says_what_to_do(ended.stderr)
    assert find_leavings(engine, project, tag) == []
    assert render_lock(read_lock(project)) == lock_path(project).read_text()


def test_two_builds_at_once_and_interrupts_at_every_stage_then_a_rerun(
    project: Project, engine: Connection, tag: str
) -> None:
    """One story, since each part needs the state that the one before left."""
    make_new(project)
    with build(project, tag) as child:
        child.wait_for("context:")
        other = project.run("--model", "toy", "--tag", tag).expect(50)
        assert "Another build of toy is running in this folder" in other.stderr
        stop(child.wait_for("export: in a container"), signal.SIGINT)
    assert find_leavings(engine, project, tag) == []
    with build(project, tag) as child:
        stop(child.wait_for("export: in a container"), signal.SIGTERM)
    assert find_leavings(engine, project, tag) == []
    for number in (signal.SIGINT, signal.SIGTERM):
        with build(project, tag) as child:
            child.wait_for("verify:").wait_until(lambda: started_containers(engine, tag), "a container")
            stop(child, number)
        assert find_leavings(engine, project, tag) == []
        with pytest.raises(EngineError, match="has no image"):
            inspect_image(engine, tag)
    assert not (project.root / "build" / "toy" / "report.json").exists()
    with build(project, tag) as child:
        child.wait_for("verify:").wait_until(lambda: started_containers(engine, tag), "a container")
        child.process.kill()
        child.process.wait()
    ended = project.run("--model", "toy", "--tag", tag).expect(0)
    assert ended.stdout.startswith(f"image   {tag}")
    assert inspect_image(engine, tag).digest == project.report("toy")["digest"]
    assert find_leavings(engine, project, tag) == []


def make_new(project: Project) -> None:
    """Nothing of it has been exported before, so that a build has something to do."""
    path = project.root / "images" / "toy" / "export.py"
    path.write_text(f"{path.read_text()}\n# {uuid.uuid4()}\n")


def build(project: Project, tag: str) -> AbstractContextManager[Child]:
    return project.started("--model", "toy", "--tag", tag)


def stop(child: Child, number: signal.Signals) -> None:
    child.process.send_signal(number)
    ended = child.end().expect(130)
    assert "run it again" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


class Run:
    """What a pickle may not do."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self._mark}",)


def test_a_pickle_with_code_in_it_fails_the_build_by_name(
    project: Project, engine: Connection, tag: str, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    torch.save({"weight": Run(mark)}, project.root / "checkpoint" / "second.pth", pickle_module=pickle)
    pin_weights(project.root)
    ended = project.run("--model", "toy", "--tag", tag).expect(33)
    assert "second.pth" in ended.stderr
    assert "system" in ended.stderr
    assert says_what_to_do(ended.stderr)
    assert not mark.exists()
    assert find_leavings(engine, project, tag) == []


def test_a_graph_that_computes_something_else_fails_the_build(project: Project, engine: Connection, tag: str) -> None:
    """ONNX Runtime and torch add floats in another order, so that they are never equal to the last bit everywhere."""
    path = project.root / "images" / "toy" / "export.py"
    path.write_text(path.read_text().replace('{"input": {0: "rows"}})', '{"input": {0: "rows"}}, tolerance=0.0)'))
    ended = project.run("--model", "toy", "--tag", tag).expect(42)
    assert "output" in ended.stderr
    assert find_leavings(engine, project, tag) == []
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, tag)


def test_an_image_that_answers_otherwise_than_the_reference_gets_no_name(
    project: Project, engine: Connection, tag: str
) -> None:
    path = project.root / "images" / "toy" / "model.py"
    path.write_text(path.read_text().replace("values[0].tolist()", "(values[0] + 0.01).tolist()"))
    ended = project.run("--model", "toy", "--tag", tag)
    assert ended.code in (40, 41), ended  # it failed before, or after, it was seen alive
    assert "warm-up answer differs" in ended.stderr
    assert says_what_to_do(ended.stderr)
    assert find_leavings(engine, project, tag) == []
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, tag)
