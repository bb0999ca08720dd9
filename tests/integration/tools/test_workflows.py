"""The action and the workflows: their form, their rights, and what zizmor says of their safety."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
RIGHTS = {
    "ci": {"test": {"contents": "read"}},
    "cold-start": {
        "matrix": {"contents": "read"},
        "measure": {"contents": "read"},
        "history": {"contents": "write"},
    },
    "gate": {"gate": None},
    "images": {
        "matrix": {"contents": "read"},
        "gate": {"contents": "read", "packages": "read", "pull-requests": "write"},
        "publish": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
        "several": {"contents": "read"},
    },
}
"""The rights of every job. A called workflow has those of its caller."""


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True, check=False
    )


def read(path: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-actions", [ACTION]),
        ("github-workflows", WORKFLOWS),
        ("dependabot", [ROOT / ".github/dependabot.yml"]),
    ],
)
def test_the_files_have_the_form_that_github_reads(schema: str, paths: list[Path]) -> None:
    done = tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths))
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing() -> None:
    done = tool("zizmor", "--offline", "--no-progress", str(ACTION), str(ROOT / ".github"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    names = re.findall(r"uses: (\S+)", re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert names
    for name in names:
        assert name == "$/" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name


def test_every_job_has_its_rights_and_no_other() -> None:
    found = {
        path.stem: {name: job.get("permissions") for name, job in read(path)["jobs"].items()} for path in WORKFLOWS
    }
    assert found == RIGHTS
    for path in WORKFLOWS:
        assert read(path).get("permissions") == (None if path.stem == "gate" else {}), path.name


def test_no_workflow_runs_the_code_of_a_fork_with_the_rights_of_this_repository() -> None:
    for path in WORKFLOWS:
        events = read(path)[True]  # YAML reads `on` as a truth value
        assert not {"pull_request_target", "workflow_run"} & set(events), path.name
        for job in read(path)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False, path.name


def test_a_second_merge_does_not_cancel_the_first_ones_images() -> None:
    for name in ("ci", "images"):
        group = read(ROOT / f".github/workflows/{name}.yml")["concurrency"]["group"]
        assert group == f"{name}-${{{{ github.event_name == 'pull_request' && github.ref || github.run_id }}}}"


def test_the_called_workflow_gives_every_input_to_the_action() -> None:
    workflow, action = read(ROOT / ".github/workflows/gate.yml"), read(ACTION)
    called = workflow[True]["workflow_call"]
    (step,) = [step for step in workflow["jobs"]["gate"]["steps"] if step.get("uses") == "$/"]
    assert set(step["with"]) == set(action["inputs"]) - {"token"}
    assert set(called["outputs"]) == set(action["outputs"])
    for name, given in called["inputs"].items():
        if name in action["inputs"] and "default" in given:
            default = given["default"]
            text = str(default).lower() if isinstance(default, bool) else default
            assert text == action["inputs"][name]["default"], name


def test_the_action_installs_the_packages_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "tools/action/requirements.in").read_text().splitlines()
    wanted = {*project["project"]["dependencies"], *project["build-system"]["requires"]}
    assert {line for line in lines if not line.startswith("#")} == wanted
    locked = (ROOT / "tools/action/requirements.txt").read_text()
    for name in (re.split("[>=]", each)[0] for each in wanted):
        assert f"\n{name.replace('_', '-')}==" in f"\n{locked}"
