"""Commits of the project's repository. A checkout of one commit has no other, so that a missing one is fetched."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

# Otherwise git obeys the config of a folder in the commit that looks like a repository; the config may name programs.
_EMBEDDED_REFUSED = ("-c", "safe.bareRepository=explicit")


@dataclass(frozen=True)
class Revision:
    """``problem`` says why it cannot be a baseline; empty if it can."""

    commit: str
    problem: str = ""


def find_revision(project: str, name: str, model: str) -> Revision:
    """The commit of a branch, tag or digest, in which ``model`` exists. It is fetched if the checkout lacks it."""
    commit = _commit(project, name) or _commit(project, f"origin/{name}") or _fetch(project, name)
    if not commit:
        return Revision("", f"the revision {name} is not in this checkout and cannot be fetched")
    prefix = _git(project, "rev-parse", "--show-prefix").stdout.strip()
    file = f"{prefix}images/{model}/image.yaml"
    if _git(project, "cat-file", "-e", f"{commit}:{file}").returncode:
        return Revision(commit, f"the commit {commit[:12]} has no {file}: the model is new")
    return Revision(commit)


def first_parent(project: str, merge: str) -> str:
    """The first parent of ``merge``, the commit that GitHub makes for a pull request: the base branch as it is now. Empty if
    another commit is checked out, or if it is no merge: the pull request's own commits may be merges, too, and their first parent
    is the pull request's. A shallow commit names its parents."""
    if merge and _commit(project, "HEAD") != merge:
        return ""
    header = _git(project, "cat-file", "commit", "HEAD").stdout.partition("\n\n")[0].splitlines()
    parents = [line.removeprefix("parent ") for line in header if line.startswith("parent ")]
    return parents[0] if len(parents) > 1 else ""


def _commit(project: str, name: str) -> str:
    return _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").stdout.strip()


def _fetch(project: str, name: str) -> str:
    """Fetch one commit, with the job's token if the checkout kept no credentials."""
    fetched = _git(
        project, "fetch", "--quiet", "--depth=1", "--no-tags", "origin", "--", name, extra=_credentials(project)
    )
    return _commit(project, "FETCH_HEAD") if fetched.returncode == 0 else ""


def _credentials(project: str) -> Mapping[str, str]:
    """git's settings for the token, as variables: nobody else on the machine sees them, as they would a command line."""
    token, server = os.environ.get("GITHUB_TOKEN", ""), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    key = f"http.{server}/.extraheader"
    if not token or _git(project, "config", "--get-all", key).stdout:
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}"}


def _git(project: str, *words: str, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    command = ["git", *_EMBEDDED_REFUSED, "-C", project, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
