"""The build's CI run, from the variables of GitHub Actions and GitLab CI."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from prebake.oci.attestations.provenance import Run
from prebake.plan.image_metadata import rfc3339


@dataclass(frozen=True)
class CiRun:
    """Unknown values are empty. ``source`` is the repository's URL, ``commit`` the full hash, ``ref`` such as
    ``refs/heads/main``, ``version`` the tag's or branch's name, ``run`` the URL of this run."""

    source: str = ""
    commit: str = ""
    ref: str = ""
    version: str = ""
    tagged: bool = False
    run: str = ""
    builder: str = ""


def read_ci(environ: Mapping[str, str]) -> CiRun:
    """The CI run of this process; all values are empty outside of a known CI system."""
    if environ.get("GITHUB_REPOSITORY") or environ.get("GITHUB_SHA"):
        return _github(environ)
    return _gitlab(environ) if environ.get("CI_PROJECT_URL") or environ.get("CI_COMMIT_SHA") else CiRun()


def builder_uri(environ: Mapping[str, str]) -> str:
    """The builder's URI for provenance: ``PREBAKE_BUILDER``, or the CI system's workflow or runner, or that of a local build."""
    return environ.get("PREBAKE_BUILDER") or read_ci(environ).builder or "urn:prebake:builder:local"


def read_run(environ: Mapping[str, str], started: float) -> Run:
    """The CI run of this process from ``started`` (seconds since the epoch) until now; empty outside of CI."""
    uri = read_ci(environ).run
    return Run(uri, rfc3339(int(started)), rfc3339(int(time.time()))) if uri else Run()


def _github(environ: Mapping[str, str]) -> CiRun:
    """GitHub's "Variables reference"; GitHub Enterprise servers have their own URL."""
    server = environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    repository, run = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
    workflow, ref = environ.get("GITHUB_WORKFLOW_REF", ""), environ.get("GITHUB_REF", "")
    source = f"{server}/{repository}" if repository else ""
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
    return CiRun(
        source=source,
        commit=environ.get("GITHUB_SHA", ""),
        ref=ref,
        version=environ.get("GITHUB_REF_NAME", ""),
        tagged=environ.get("GITHUB_REF_TYPE") == "tag" or ref.startswith("refs/tags/"),
        run=f"{source}/actions/runs/{run}/attempts/{attempt}" if source and run else "",
        builder=f"{server}/{workflow}" if workflow else "",
    )


def _gitlab(environ: Mapping[str, str]) -> CiRun:
    """GitLab's "Predefined CI/CD variables"; the builder is the runner, as in GitLab's own provenance."""
    source, tag = environ.get("CI_PROJECT_URL", ""), environ.get("CI_COMMIT_TAG", "")
    branch, runner = environ.get("CI_COMMIT_BRANCH", ""), environ.get("CI_RUNNER_ID", "")
    return CiRun(
        source=source,
        commit=environ.get("CI_COMMIT_SHA", ""),
        ref=f"refs/tags/{tag}" if tag else f"refs/heads/{branch}" if branch else "",
        version=tag or environ.get("CI_COMMIT_REF_NAME", "") or branch,
        tagged=bool(tag),
        run=environ.get("CI_JOB_URL", ""),
        builder=f"{source}/-/runners/{runner}" if source and runner else "",
    )
