"""The action on a stranger's project: from nothing to the first red check and back to a green one, with the real Prebake."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from tests.support.action.github_server import GitHub, running_github
from tests.support.action.runs import Ran, Runner, pull_request
from tests.support.commands.built_images import remove_images
from tests.support.commands.projects import clone, reach
from tests.support.registries.registry import running_registry

MODEL = "images/toy/model.py"
MARKER = "<!-- prebake-gate:toy -->"


@dataclass
class Stranger:
    """A repository of somebody else with the toy in ``models``, and a registry."""

    runner: Runner
    registry: str
    github: GitHub
    pushed: str = ""

    @property
    def project(self) -> Path:
        return self.runner.workspace / "models"

    def commit(self, message: str) -> str:
        self._git("add", ".")
        self._git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", message)
        return self._git("rev-parse", "HEAD")

    def run(self, event: dict[str, Any], variables: dict[str, str], **inputs: str) -> Ran:
        """One run of the job, on an empty runner."""
        (self.runner.folder / "summary.md").unlink(missing_ok=True)
        runner = replace(self.runner, variables={**self.runner.variables, **variables})
        return runner.run(event, model="toy", project="models", registry=self.registry, **inputs)

    def _git(self, *words: str) -> str:
        command = ["git", "-C", str(self.runner.workspace), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def stranger(engine: Connection, tmp_path: Path) -> Iterator[Stranger]:
    source = clone(tmp_path / "clone", "toy").root
    workspace = tmp_path / "checkout"
    for part in ("images", "checkpoint"):
        shutil.copytree(source / part, workspace / "models" / part)
    (workspace / ".gitignore").write_text("build/\n__pycache__/\n")
    subprocess.run(["git", "init", "--quiet", str(workspace)], check=True)
    own = {name: os.environ[name] for name in ("PREBAKE_CACHE",) if name in os.environ}
    try:
        with running_registry(tmp_path) as address, running_github() as github:
            variables = {**own, **reach(engine), **github.variables, "PREBAKE_STARTS": "1"}
            stranger = Stranger(Runner(workspace, tmp_path / "runner", variables), f"{address}/acme", github)
            yield stranger
            baseline = stranger.pushed.removeprefix("sha256:")[:32]
            remove_images(engine, [f"prebake/baseline:{baseline}"])
    finally:
        remove_images(engine, ["prebake/toy:cpu-small"])


def test_from_nothing_to_a_red_check_and_back(stranger: Stranger) -> None:
    """One test, as each run needs what the runs before left at the registry."""
    model = stranger.project / MODEL
    first = stranger.commit("first")
    stranger.pushed = _push_main(stranger, first)
    stranger.runner = replace(stranger.runner, replaced={"install": {"bin": _installed(stranger.runner.folder)}})

    usual = model.read_text()
    model.write_text(f"{usual}\n\nimport time\n\ntime.sleep(1.5)\n")
    stranger.commit("slower")
    ran = _request(stranger, first, max_regression="50%")
    assert ran.failed == {"Judge": 46}, ran.log
    assert ran.outputs["verdict"] == "fail"
    assert float(ran.outputs["ratio"]) > 1.5
    assert "images.toy.model" in ran.summary
    assert "::error file=models/images/toy/image.yaml,line=1,title=toy%3A the gate failed::" in ran.log
    (comment,) = stranger.github.comments
    assert comment["body"].startswith(MARKER)

    model.write_text(f"{usual}\n# a remark\n")
    stranger.commit("no longer slower")
    ran = _request(stranger, first, max_regression="400%")
    assert ran.failed == {}, ran.log
    assert ran.outputs["verdict"] == "pass"
    assert [each["id"] for each in stranger.github.comments] == [comment["id"]]
    assert ran.outputs["digest"] not in ("", stranger.pushed)

    image = stranger.project / "images/toy/image.yaml"
    image.write_text(image.read_text().replace("targets:", "taregts:"))
    line = image.read_text()[: image.read_text().index("taregts")].count("\n") + 1
    ran = _request(stranger, first)
    assert ran.failed == {"Plan the build": 12}, ran.log
    assert f"::error file=models/images/toy/image.yaml,line={line},title=prebake%3A SpecInvalid (12)::" in ran.log


def _push_main(stranger: Stranger, commit: str) -> str:
    """The first run on main: there is no baseline yet, and the image becomes one. Gives its digest."""
    stranger.github.heads["main"] = commit
    variables = {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_EVENT_NAME": "push"}
    ran = stranger.run({"before": "0" * 40}, {**variables, "GITHUB_SHA": commit}, push="true")
    assert ran.failed == {}, ran.log
    assert "::notice title=There is no baseline yet::" in ran.log
    assert ran.outputs["verdict"] == "none"
    digest = ran.outputs["digest"]
    assert ran.outputs["image"] == f"{stranger.registry}/toy@{digest}"
    with closing(Repository(parse_reference(f"{stranger.registry}/toy:main"))) as repository:
        assert repository.resolve("main") == digest
        kinds = {each.artifact_type for each in list_referrers(repository, digest)}
    assert kinds == {
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
        "application/vnd.oai.openapi+json",
    }
    assert set(ran.used) == {
        "actions/setup-python",
        "actions/cache/restore",
        "actions/cache/save",
        "actions/upload-artifact",
    }
    return digest


def _request(stranger: Stranger, base: str, **inputs: str) -> Ran:
    return stranger.run(pull_request(sha=base), {"GITHUB_BASE_REF": "main"}, **inputs)


def _installed(folder: Path) -> str:
    """Where the first run installed Prebake; later runs of this test use it again."""
    (found,) = (folder / "temporary").glob("prebake-environment-*/bin")
    return str(found)
