"""``prebake lock`` where no registry and no hub answers: what can be pinned is pinned, and nothing is half done."""

from __future__ import annotations

import hashlib
import json

import pytest

from prebake.docker.connection import Connection
from tests.support.commands.projects import Project, change_spec, clone, lock_path, reach, read_lock

NOBODY = "127.0.0.1:9"  # the port of "discard", which nothing serves


@pytest.fixture
def offline(project: Project) -> Project:
    """Its base is in a registry that does not answer, and was pinned while it did."""
    change_spec(project, lambda document: document.update(base=f"{NOBODY}/python:3.11"))
    text = lock_path(project).read_text().replace("python:3.11-slim-bookworm", f"{NOBODY}/python:3.11")
    lock_path(project).write_text(text)
    return project


def test_the_same_inputs_give_the_same_text(offline: Project) -> None:
    before = lock_path(offline).read_text()
    ended = offline.run("lock", "--model", "toy").expect(0)
    assert ended.stdout.strip() == "images/toy/weights.lock"
    assert "the base image keeps its digest" in ended.stderr
    assert lock_path(offline).read_text() == before
    assert json.dumps(json.loads(before), indent=2, sort_keys=True, ensure_ascii=False) + "\n" == before


def test_other_weights_are_pinned_by_their_new_digest(offline: Project) -> None:
    offline.run("--model", "toy", "--plan").expect(0)
    weights = offline.root / "checkpoint" / "second.pth"
    weights.write_bytes(weights.read_bytes() + b"more")
    offline.run("lock", "--model", "toy", "--checkpoint", "small").expect(0)
    files = {file.path: file for file in read_lock(offline).checkpoints["small"].files}
    pinned = files["second.pth"]
    assert (pinned.sha256, pinned.size) == (hashlib.sha256(weights.read_bytes()).hexdigest(), weights.stat().st_size)
    assert (pinned.source, pinned.ship, pinned.license) == ("local:checkpoint", False, "CC0-1.0")


def test_a_base_that_was_never_pinned_needs_its_registry(offline: Project) -> None:
    lock_path(offline).unlink()
    ended = offline.run("lock", "--model", "toy").expect(22)
    assert f"{NOBODY}/python:3.11" in ended.stderr
    assert not lock_path(offline).exists()
    assert offline.half_written() == []


def test_a_checkpoint_that_there_is_not(offline: Project) -> None:
    assert "choose one of: small" in offline.run("lock", "--model", "toy", "--checkpoint", "large").expect(13).stderr


def test_a_file_that_is_not_there(offline: Project) -> None:
    before = lock_path(offline).read_text()
    (offline.root / "checkpoint" / "second.pth").unlink()
    assert "second.pth" in offline.run("lock", "--model", "toy").expect(30).stderr
    assert lock_path(offline).read_text() == before


def test_a_hub_that_does_not_answer_leaves_the_lock_alone(
    engine: Connection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = clone(tmp_path_factory.mktemp("hub") / "project", "foley", variables=reach(engine))
    before = lock_path(project, "foley").read_text()
    ended = project.run("lock", "--model", "foley", "--checkpoint", "xl", HF_ENDPOINT=f"http://{NOBODY}").expect(31)
    assert "tencent/HunyuanVideo-Foley cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert lock_path(project, "foley").read_text() == before
    assert project.half_written() == []


def test_a_layer_that_was_computed_of_other_bytes_is_not_believed(project: Project) -> None:
    """Another file was pinned by hand, and the layer forgotten: its digest is that of the old weights."""
    text = lock_path(project).read_text()
    document = json.loads(text)
    (shipped,) = [file for file in document["checkpoints"]["small"]["files"] if file["ship"]]
    shipped["sha256"] = "0" * 64
    lock_path(project).write_text(json.dumps(document))
    ended = project.run("--model", "toy", "--plan").expect(13)
    assert f"a layer was computed from another {shipped['path']}" in ended.stderr
    assert "prebake lock --model toy" in ended.stderr
