"""The worktree of a baseline's revision, and the name of the image that is built of it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import prebake
from prebake.docker.connection import Connection
from prebake.errors import Interrupted
from prebake.io.log import silent
from prebake.plan.values import Options
from prebake.workflow.benchmark import revision as module
from prebake.workflow.benchmark.baseline import get_baseline
from prebake.workflow.benchmark.revision import Revision, build_revision, find_revision, image_tag
from prebake.workflow.requests import BuildRequest

NOWHERE = Connection("unix:///nowhere", Path("docker"))
REQUEST = BuildRequest(Path(), "toy")
REVISION = Revision(Path(), "0" * 40, "")


def git(root: Path, *words: str) -> str:
    own = ("-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that does not contain Prebake."""
    image = tmp_path / "images" / "toy" / "image.yaml"
    image.parent.mkdir(parents=True)
    image.write_text("")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_images_of_one_commit_that_may_differ_have_different_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {
        image_tag(REVISION, REQUEST),
        image_tag(replace(REVISION, commit="1" * 40), REQUEST),
        image_tag(replace(REVISION, folder="sounds/"), REQUEST),
        image_tag(REVISION, replace(REQUEST, model="foley")),
        image_tag(REVISION, replace(REQUEST, base="bootstrap")),
        image_tag(REVISION, replace(REQUEST, options=Options(target="cuda"))),
        image_tag(REVISION, replace(REQUEST, options=Options(checkpoint="sample"))),
    }
    before = image_tag(REVISION, REQUEST)
    monkeypatch.setattr(prebake, "__version__", "0.0.0")  # a project without Prebake is built by the one that runs
    tags.add(image_tag(REVISION, REQUEST))
    assert len(tags) == 8
    monkeypatch.undo()
    assert image_tag(REVISION, replace(REQUEST, options=Options(tag="other:tag"))) == before


def test_the_baseline_is_built_on_the_base_of_the_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[BuildRequest] = []
    monkeypatch.setattr(module, "build_image", lambda request, _: built.append(request))
    revision = find_revision(root, "main")
    assert revision is not None
    build_revision(revision, replace(REQUEST, root=root, base="bootstrap"), "toy:before", silent)
    assert [(request.base, request.options.tag) for request in built] == [("bootstrap", "toy:before")]


def test_an_interrupted_build_is_no_unusable_baseline_and_leaves_no_worktree(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted("Stopped by SIGTERM.", next_action="run it again")

    monkeypatch.setattr(module, "build_image", interrupt)
    monkeypatch.setattr("prebake.workflow.benchmark.baseline.has_image", lambda *_: False)
    with pytest.raises(Interrupted):
        get_baseline(NOWHERE, "main", replace(REQUEST, root=root), silent)
    assert git(root, "worktree", "list", "--porcelain").count("worktree ") == 1


def test_an_interrupted_checkout_leaves_no_worktree(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes when git has made the worktree and has not ended."""
    plain = module._git

    def interrupt(place: Path, *words: str, check: bool = False) -> str | None:
        done = plain(place, *words, check=check)
        if words[:2] == ("worktree", "add"):
            raise KeyboardInterrupt
        return done

    revision = find_revision(root, "main")
    assert revision is not None
    monkeypatch.setattr(module, "_git", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_revision(revision, replace(REQUEST, root=root), "toy:before", silent)
    assert git(root, "worktree", "list", "--porcelain").count("worktree ") == 1
