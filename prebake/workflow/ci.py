"""What a CI system says of the build that it runs: GitHub Actions and GitLab CI, by the variables that they define."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from prebake.oci.provenance import Run
from prebake.plan.metadata import rfc3339


@dataclass(frozen=True)
class Ci:
    """Empty is what is not said. ``source`` is the repository's URL, ``commit`` the full hash, ``ref`` such as
    ``refs/heads/main``, ``version`` the tag's or branch's name, ``run`` the URL of this run."""

    source: str = ""
    commit: str = ""
    ref: str = ""
    version: str = ""
    tagged: bool = False
    run: str = ""
    builder: str = ""


def read_ci(environ: Mapping[str, str]) -> Ci:
    """The CI system that this process runs in; all empty if it runs in none that is known."""
    if environ.get("GITHUB_REPOSITORY") or environ.get("GITHUB_SHA"):
        return _github(environ)
    return _gitlab(environ) if environ.get("CI_PROJECT_URL") or environ.get("CI_COMMIT_SHA") else Ci()


def builder_uri(environ: Mapping[str, str]) -> str:
    """Who vouches for a build: ``PREBAKE_BUILDER``, else the CI system's workflow or runner, else nobody but its maker."""
    return environ.get("PREBAKE_BUILDER") or read_ci(environ).builder or "urn:prebake:builder:local"


def read_run(environ: Mapping[str, str], begun: float) -> Run:
    """The run that this process is part of, from ``begun`` (seconds since the epoch) until now; empty outside of CI."""
    uri = read_ci(environ).run
    return Run(uri, rfc3339(int(begun)), rfc3339(int(time.time()))) if uri else Run()


def _github(environ: Mapping[str, str]) -> Ci:
    """GitHub's "Variables reference"; servers of GitHub Enterprise have a URL of their own."""
    server = environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    repository, run = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
    workflow, ref = environ.get("GITHUB_WORKFLOW_REF", ""), environ.get("GITHUB_REF", "")
    source = f"{server}/{repository}" if repository else ""
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
    return Ci(
        source,
        environ.get("GITHUB_SHA", ""),
        ref,
        environ.get("GITHUB_REF_NAME", ""),
        environ.get("GITHUB_REF_TYPE") == "tag" or ref.startswith("refs/tags/"),
        f"{source}/actions/runs/{run}/attempts/{attempt}" if source and run else "",
        f"{server}/{workflow}" if workflow else "",
    )


def _gitlab(environ: Mapping[str, str]) -> Ci:
    """GitLab's "Predefined CI/CD variables"; the builder is named as in GitLab's own provenance: by the runner."""
    source, tag = environ.get("CI_PROJECT_URL", ""), environ.get("CI_COMMIT_TAG", "")
    branch, runner = environ.get("CI_COMMIT_BRANCH", ""), environ.get("CI_RUNNER_ID", "")
    return Ci(
        source,
        environ.get("CI_COMMIT_SHA", ""),
        f"refs/tags/{tag}" if tag else f"refs/heads/{branch}" if branch else "",
        tag or environ.get("CI_COMMIT_REF_NAME", "") or branch,
        bool(tag),
        environ.get("CI_JOB_URL", ""),
        f"{source}/-/runners/{runner}" if source and runner else "",
    )
