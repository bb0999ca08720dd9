"""The weekly history goes to a branch of its own, which the first run makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.repository import ROOT

FIGURES = {"ttfi_seconds": 0.59, "naive_ttfi_seconds": 3.6}


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_each_run_is_a_commit_of_gh_pages(tmp_path: Path) -> None:
    origin, checkout, results = tmp_path / "origin.git", tmp_path / "checkout", tmp_path / "results"
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    shutil.copytree(ROOT / "tools/start_history", checkout / "tools/start_history")
    shutil.copy(ROOT / "tools/__init__.py", checkout / "tools")
    git(tmp_path, "init", "--quiet", str(checkout))
    git(checkout, "remote", "add", "origin", str(origin))
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    results.mkdir()
    (results / "foley.json").write_text(json.dumps(FIGURES))
    command = [checkout / "tools/start_history/publish.sh", results]
    environment = {**os.environ, "GITHUB_TOKEN": "token", "PYTHONDONTWRITEBYTECODE": "1"}
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "| `foley` | 0.59 |" in done.stdout
    assert git(origin, "rev-list", "--count", "gh-pages").strip() == "2"
    assert git(origin, "ls-tree", "-r", "--name-only", "gh-pages").split() == [
        "cold-start/history.json",
        "cold-start/index.html",
    ]
    assert len(json.loads(git(origin, "show", "gh-pages:cold-start/history.json"))["runs"]) == 2
    assert git(checkout, "status", "--porcelain") == ""
