"""The base commit of a checkout that has one commit only."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.action.conftest import Stage
from tests.support.action.runs import pull_request
from tools.action.github.event import read_event


def test_a_commit_that_the_checkout_lacks_is_fetched(stage: Stage, tmp_path: Path) -> None:
    origin = stage.runner.workspace
    base = stage.git("rev-parse", "HEAD")
    stage.git("commit", "--quiet", "--allow-empty", "--message", "second")
    stage.git("config", "uploadpack.allowAnySHA1InWant", "true")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", origin.as_uri(), shallow], check=True)
    stage.runner = replace(stage.runner, workspace=shallow)
    ran = stage.run(pull_request(sha=base))
    assert ran.failed == {}
    assert f"--baseline={base}" in stage.bench


def diverge(stage: Stage) -> str:
    """A branch ``change`` with a commit of its own; then one on the first branch, which is checked out. Gives that commit."""
    stage.git("checkout", "--quiet", "-b", "change")
    stage.git("commit", "--quiet", "--allow-empty", "--message", "change")
    stage.git("checkout", "--quiet", "-")
    stage.git("commit", "--quiet", "--allow-empty", "--message", "main went on")
    return stage.git("rev-parse", "HEAD")


def merge(stage: Stage, branch: str) -> None:
    stage.git("merge", "--quiet", "--no-edit", "--no-ff", branch)


def test_a_merge_is_compared_with_its_base_and_not_with_an_older_one(stage: Stage) -> None:
    old = stage.git("rev-parse", "HEAD")
    main = diverge(stage)
    merge(stage, "change")
    stage.run(pull_request(sha=old))
    assert f"--baseline={main}" in stage.bench


def test_a_merge_of_the_pull_request_itself_is_no_base(stage: Stage) -> None:
    base = stage.git("rev-parse", "HEAD")
    main = diverge(stage)
    stage.git("checkout", "--quiet", "change")
    merge(stage, main)
    stage.run(pull_request(sha=base), {"GITHUB_SHA": "ab" * 20})  # the workflow checked out the head, not GITHUB_SHA
    assert f"--baseline={base}" in stage.bench


def test_a_folder_that_looks_like_a_repository_runs_nothing(stage: Stage, tmp_path: Path) -> None:
    project, ran = stage.runner.workspace / "models", tmp_path / "ran"
    (stage.runner.workspace / "images").rename(project)
    (project / "images").mkdir()
    (project / "toy").rename(project / "images/toy")
    for name in ("objects", "refs"):
        (project / name).mkdir()
    (project / "HEAD").write_text("ref: refs/heads/main\n")
    (project / "config").write_text(
        f'[core]\nrepositoryformatversion = 0\nbare = true\n[protocol "ext"]\nallow = always\n'
        f'[remote "origin"]\nurl = "ext::touch {ran}"\n'
    )
    stage.run(pull_request(sha="ab" * 20), project="models")
    assert not ran.exists()


def test_a_group_of_a_merge_queue_is_compared_with_its_base(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = stage.git("rev-parse", "HEAD")
    stage.git("commit", "--quiet", "--allow-empty", "--message", "queued")
    event = {"merge_group": {"base_sha": base, "base_ref": "refs/heads/main"}}
    variables = {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF_NAME": "gh-readonly-queue/main/pr-7-x"}
    stage.run(event, variables)
    assert f"--baseline={base}" in stage.bench
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    for name, value in {**variables, "GITHUB_EVENT_PATH": str(path), "GITHUB_BASE_REF": ""}.items():
        monkeypatch.setenv(name, value)
    assert read_event().base_ref == "main"
