"""A checkout of a stranger's project, a program in place of ``prebake``, and GitHub's API on loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.action import stand_in
from tests.support.action.github_server import GitHub, running_github
from tests.support.action.runs import Ran, Runner, pull_request


@dataclass
class Stage:
    """``run`` starts all steps; ``behave`` says what the program in place of ``prebake`` does."""

    runner: Runner
    bin: Path
    github: GitHub

    def behave(self, **behaviour: Any) -> None:
        (self.bin / "behaviour.json").write_text(json.dumps(behaviour))

    def run(
        self, event: Mapping[str, Any] | None = None, variables: Mapping[str, str] | None = None, **inputs: str
    ) -> Ran:
        runner = replace(self.runner, variables={**self.runner.variables, **(variables or {})})
        return runner.run(event, **{"model": "toy", **inputs})

    @property
    def calls(self) -> list[list[str]]:
        path = self.bin / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def bench(self) -> list[str]:
        """The words of the only call of ``prebake bench``."""
        (words,) = [call for call in self.calls if call[0] == "bench"]
        return words

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(
            command, cwd=self.runner.workspace, check=True, capture_output=True, text=True
        ).stdout.strip()


@pytest.fixture
def github() -> Iterator[GitHub]:
    with running_github() as github:
        yield github


@pytest.fixture
def stage(tmp_path: Path, github: GitHub) -> Stage:
    workspace, bin = tmp_path / "checkout", tmp_path / "bin"
    image = workspace / "images" / "toy"
    image.mkdir(parents=True)
    (image / "image.yaml").write_text("schema: 2\nname: toy\n")
    (image / "weights.lock").write_text("schema: 2\n")
    bin.mkdir()
    shutil.copy(stand_in.__file__, bin / "stand_in.py")
    _write_program(bin / "python", '"$@"')
    _write_program(bin / "prebake", f"{bin / 'stand_in.py'} " + '"$@"')
    runner = Runner(workspace, tmp_path / "runner", github.variables, {"install": {"bin": str(bin)}})
    stage = Stage(runner, bin, github)
    stage.behave(bench={"verdict": "pass"})
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "first")):
        stage.git(*words)
    return stage


@pytest.fixture
def request_event(stage: Stage) -> dict[str, Any]:
    """A pull request that goes to the only commit."""
    return pull_request(sha=stage.git("rev-parse", "HEAD"))


def _write_program(path: Path, words: str) -> None:
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}\n')
    path.chmod(0o755)
