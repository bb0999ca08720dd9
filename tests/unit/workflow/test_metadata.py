"""Commit, tag, remote and state of the tree, as a real git tells them, and what CI systems add."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from prebake.oci.attestations.provenance import Run
from prebake.plan.image_metadata import Metadata
from prebake.workflow.metadata.ci import builder_uri, read_ci, read_run
from prebake.workflow.metadata.git import public_url, read_checkout
from prebake.workflow.metadata.image_metadata import read_metadata

TIME = 1_700_000_000
WHO = {
    f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "A"), ("EMAIL", "a@b.c"))
}
WHEN = {f"GIT_{who}_DATE": f"{TIME} +0200" for who in ("AUTHOR", "COMMITTER")}


def git(folder: Path, *words: str) -> str:
    environ = {**os.environ, **WHO, **WHEN, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit of an image, build/ not ignored."""
    folder = tmp_path / "project"
    (folder / "images/toy").mkdir(parents=True)
    (folder / "images/toy/model.py").write_text("one\n")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def read(folder: Path, *labels: str, **environ: str) -> Metadata:
    return read_metadata(folder, labels, environ, lambda line: None)


def test_a_commit_is_named_with_its_time_and_an_equal_tree_is_clean(checkout: Path) -> None:
    (checkout / "build").mkdir()
    (checkout / "build/report.json").write_text("{}")  # what a build writes is no change of the source
    assert read(checkout) == Metadata(created=TIME, commit=git(checkout, "rev-parse", "HEAD"))


def test_source_date_epoch_goes_before_the_commits_time(checkout: Path) -> None:
    assert read(checkout, SOURCE_DATE_EPOCH="1000").created == 1000
    assert read(checkout, SOURCE_DATE_EPOCH="0").created == 0


@pytest.mark.parametrize("change", ["edit", "stage", "new file"])
def test_a_tree_that_differs_from_its_commit_says_so(checkout: Path, change: str) -> None:
    git(checkout, "tag", "v1.0.0")
    (checkout / "images/toy" / ("export.py" if change == "new file" else "model.py")).write_text("two\n")
    if change == "stage":
        git(checkout, "add", "-A")
    found = read(checkout)
    assert found.revision == git(checkout, "rev-parse", "HEAD") + "-dirty"
    assert found.version == "v1.0.0-dirty"


def test_the_newest_tag_of_the_commit_is_its_version_and_an_older_commits_is_not(checkout: Path) -> None:
    for tag in ("v1.9.0", "v1.10.0"):
        git(checkout, "tag", tag)
    assert (read(checkout).version, read(checkout).ref) == ("v1.10.0", "refs/tags/v1.10.0")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert read(checkout).version == ""


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("https://user:s3cret@host.example/a/b.git", "https://host.example/a/b"),
        ("https://gitlab-ci-token:t0ken@gitlab.example:8443/g/p.git?x=t0ken", "https://gitlab.example:8443/g/p"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("host.example:owner/name", "https://host.example/owner/name"),
        ("ssh://git@host.example:2222/owner/name.git", "https://host.example/owner/name"),
        ("git://host.example/owner/name", "https://host.example/owner/name"),
        ("http://x:y@host.example:8080/owner/name/", "http://host.example:8080/owner/name"),
        ("https://u:p@[2001:db8::1]:3000/owner/name.git", "https://[2001:db8::1]:3000/owner/name"),
        ("ssh://git@host.example:owner/name.git", ""),
        ("https://user:s3/cret@host.example/owner/name", ""),
        ("https://host.example:99999/owner/name", ""),
        ("https://[host.example/owner/name", ""),
        ("file:///srv/name.git", ""),
        ("/srv/name.git", ""),
        ("../name", ""),
    ],
)
def test_a_remote_is_named_as_everybody_may_read_it(checkout: Path, remote: str, url: str) -> None:
    assert public_url(remote) == url
    git(checkout, "remote", "add", "origin", remote)
    assert read(checkout).source == url


@pytest.mark.parametrize("setting", ["remote.origin.prune", "log.showSignature"])
def test_a_users_settings_of_git_do_not_hide_a_commit(checkout: Path, setting: str) -> None:
    """The first has git list a remote without a URL, the second has it print what it says of a signature."""
    tree, head = git(checkout, "rev-parse", "HEAD^{tree}"), git(checkout, "rev-parse", "HEAD")
    who = f"A <a@b.c> {TIME} +0000"
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    commit = f"tree {tree}\nparent {head}\nauthor {who}\ncommitter {who}\n{signature}\n\nsigned\n"
    (checkout / ".git/signed").write_text(commit)
    git(checkout, "reset", "-q", "--hard", git(checkout, "hash-object", "-w", "-t", "commit", ".git/signed"))
    git(checkout, "remote", "add", "upstream", "https://host.example/owner/name.git")
    git(checkout, "config", setting, "true")
    found = read(checkout)
    assert (found.commit, found.source) == (git(checkout, "rev-parse", "HEAD"), "https://host.example/owner/name")


def test_where_there_is_no_repository_nothing_is_named(tmp_path: Path, checkout: Path) -> None:
    assert read(tmp_path) == Metadata()
    (checkout / ".gitignore").write_text("inner\n")
    inner = checkout / "inner"
    inner.mkdir()
    assert read_checkout(inner, lambda line: None) is None  # the repository does not hold it
    git(tmp_path, "init", "-q", "empty")
    assert read(tmp_path / "empty") == Metadata()


def test_a_hook_of_another_repository_changes_nothing(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    found = read(checkout)
    monkeypatch.undo()
    assert found == Metadata(created=TIME, commit=git(checkout, "rev-parse", "HEAD"))


def test_a_folder_of_a_larger_repository_is_judged_by_itself(checkout: Path) -> None:
    project = checkout / "models"
    (project / "images/a").mkdir(parents=True)
    (project / "images/a/image.yaml").write_text("a\n")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "second")
    (checkout / "images/toy/model.py").write_text("two\n")
    assert read(checkout).dirty
    assert not read(project).dirty
    assert read(project).commit == read(checkout).commit


def test_a_repository_that_git_refuses_is_told_and_ci_is_asked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".git/config").write_text("[core\n")
    said: list[str] = []
    environ = {"GITHUB_REPOSITORY": "o/n", "GITHUB_SHA": "a" * 40}
    found = read_metadata(checkout, [], environ, said.append)
    assert (found.commit, found.source) == ("a" * 40, "https://github.com/o/n")
    assert any("the image's labels have no commit" in line for line in said)
    monkeypatch.setenv("PATH", str(checkout))
    assert read_checkout(checkout, said.append) is None


def github(commit: str, kind: str = "branch", name: str = "main") -> Mapping[str, str]:
    folder = "tags" if kind == "tag" else "heads"
    return {
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_SHA": commit,
        "GITHUB_REF": f"refs/{folder}/{name}",
        "GITHUB_REF_NAME": name,
        "GITHUB_REF_TYPE": kind,
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_WORKFLOW_REF": f"owner/name/.github/workflows/images.yml@refs/{folder}/{name}",
    }


def gitlab(commit: str, tag: str = "") -> Mapping[str, str]:
    return {
        "CI_PROJECT_URL": "https://gitlab.example/group/name",
        "CI_COMMIT_SHA": commit,
        "CI_COMMIT_REF_NAME": tag or "main",
        "CI_JOB_URL": "https://gitlab.example/group/name/-/jobs/5",
        "CI_RUNNER_ID": "9",
        **({"CI_COMMIT_TAG": tag} if tag else {"CI_COMMIT_BRANCH": "main"}),
    }


def test_github_actions_names_source_branch_run_and_builder(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    found = read(checkout, **github(commit))
    assert (found.source, found.version, found.ref) == (
        "https://github.example/owner/name",
        "main",
        "refs/heads/main",
    )
    assert read(checkout, **github(commit, "tag", "v2")).version == "v2"
    ci = read_ci(github(commit))
    assert ci.run == "https://github.example/owner/name/actions/runs/77/attempts/2"
    assert builder_uri(github(commit)).endswith("/.github/workflows/images.yml@refs/heads/main")
    git(checkout, "tag", "v3")
    assert read(checkout, **github(commit)).version == "v3"


def test_gitlab_names_source_tag_job_and_runner(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "remote", "add", "origin", "https://gitlab-ci-token:x@gitlab.example/group/name.git")
    found = read(checkout, **gitlab(commit, "v4"))
    assert (found.source, found.version, found.ref) == ("https://gitlab.example/group/name", "v4", "refs/tags/v4")
    assert read_ci(gitlab(commit)).run.endswith("/-/jobs/5")
    assert builder_uri(gitlab(commit)) == "https://gitlab.example/group/name/-/runners/9"


def test_ci_that_speaks_of_another_commit_is_not_believed(checkout: Path) -> None:
    """A workflow may check out another repository than the one that it belongs to."""
    found = read(checkout, **github("e" * 40))
    assert found == Metadata(created=TIME, commit=git(checkout, "rev-parse", "HEAD"))


def test_without_a_repository_ci_is_believed(tmp_path: Path) -> None:
    found = read(tmp_path, **github("e" * 40, "tag", "v5"))
    assert (found.commit, found.version, found.created) == ("e" * 40, "v5", None)


def test_a_builder_may_be_named_and_else_is_its_own(tmp_path: Path) -> None:
    assert builder_uri({**github("a" * 40), "PREBAKE_BUILDER": "https://own.example"}) == "https://own.example"
    assert builder_uri({}) == "urn:prebake:builder:local"


def test_a_run_has_its_uri_and_times_and_outside_of_ci_there_is_none() -> None:
    run = read_run(github("a" * 40), 1_700_000_000.9)
    assert (run.invocation, run.started) == (read_ci(github("a" * 40)).run, "2023-11-14T22:13:20Z")
    assert run.finished > run.started
    assert read_run({}, 0.0) == Run()
