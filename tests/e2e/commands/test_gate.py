"""``prebake bench --baseline`` on real images: verdicts, baselines of each kind, and those that cannot be used."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base
from prebake.docker.images.images import inspect_image
from prebake.docker.images.tags import remove_tag, tag_image
from prebake.measure.gate.errors import BaselineUnusable, LimitExceeded, VerdictUnclear
from prebake.measure.gate_report.html import format_html
from prebake.measure.gate_report.markdown import format_markdown
from prebake.measure.gate_report.schema import json_schema
from prebake.workflow.benchmark.baseline_tags import BASELINES
from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Built, Project
from tests.support.registries.pushed_copies import Pushed
from tests.support.schemas import Draft202012Validator

SLEEP = "\n\nimport time\n\ntime.sleep(1.5)\n"
"""Far more than noise, and no longer than needed: every start of the slower image takes it."""
ONE_PAIR = ("--max-pairs", "1", "--json")
"""Too few for a verdict: what is tested here is the baseline."""


def slow_down(project: Project) -> None:
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + SLEEP)


def read_gate(project: Project) -> dict[str, Any]:
    """The document, which its schema describes; the files that are made of it lie beside it."""
    folder = project.root / "build" / "bench"
    document: dict[str, Any] = json.loads((folder / "toy-gate.json").read_text())
    assert [error.message for error in Draft202012Validator(json_schema()).iter_errors(document)] == []
    assert (folder / "toy-gate.html").read_text() == format_html(document)
    assert (folder / "toy-gate.md").read_text() == format_markdown(document)
    assert json.loads((folder / "toy-gate-action.json").read_text())[0]["value"] == document["ttfi_seconds"]
    return document


def test_a_slower_start_fails_and_names_the_phase_and_a_faster_one_passes(
    engine: Connection, project: Project, toy: Built, tag: str
) -> None:
    slow_down(project)
    words = ("bench", "toy", "--tag", tag, "--baseline", toy.tag, "--max-regression", "20%")
    failed = project.run(*words).expect(LimitExceeded.exit_code)
    assert re.match(rf"Gate failed: toy starts [0-9.]+ times slower \(.*\) than {re.escape(toy.tag)};", failed.stdout)
    assert re.search(r"phases that moved: .*import images\.toy\.model \+[12]\.[0-9]", failed.stderr), failed.stderr
    found = read_gate(project)
    assert failed.stdout.strip() == found["message"]
    assert found["verdict"] == "fail"
    assert found["ratio"] > 1.2
    assert found["ratio_interval_95"][0] > 1.2
    assert [phase["name"] for phase in found["phases"] if phase["difference_seconds"] > 1] == [
        "import images.toy.model"
    ]
    assert found["image"]["digest"] == inspect_image(engine, tag).digest
    assert found["baseline"]["digest"] == inspect_image(engine, toy.tag).digest
    assert {start["first"] for start in found["starts"]} <= {"image", "baseline"}
    assert all(start["image"]["ttfi_seconds"] > start["image"]["ready_seconds"] > 1.5 for start in found["starts"])

    passed = toy.project.run("bench", "toy", "--tag", toy.tag, "--baseline", tag, "--json").expect(0)
    document = json.loads(passed.stdout)
    assert document["verdict"] == "pass"
    assert document["limits"]["max_regression"] == 0.1
    for gate in (found, document):
        remove_tag(engine, gate["baseline"]["reference"])


def test_the_tag_that_the_build_moves_may_be_the_baseline(
    engine: Connection, project: Project, toy: Built, tag: str
) -> None:
    before = inspect_image(engine, toy.tag).digest
    tag_image(engine, toy.tag, tag)
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + "\n# a change\n")
    ended = project.run("bench", "toy", "--tag", tag, "--baseline", tag, *ONE_PAIR)
    found = json.loads(ended.expect(VerdictUnclear.exit_code).stdout)
    remove_tag(engine, found["baseline"]["reference"])
    assert found["baseline"]["digest"] == before
    assert found["image"]["digest"] == inspect_image(engine, tag).digest != before


def test_limits_of_the_image_alone(toy: Built) -> None:
    """``gate`` of image.yaml adds its limits to those of the command line."""
    spec = toy.project.root / "images" / "toy" / "image.yaml"
    before = spec.read_text()
    spec.write_text(before + "gate: {max_image_size: 1MB}\n")
    try:
        words = ("bench", "toy", "--tag", toy.tag, "--max-ttfi", "1ms", "--max-pairs", "1")
        failed = toy.project.run(*words).expect(LimitExceeded.exit_code)
    finally:
        spec.write_text(before)
    assert "The image of toy has" in failed.stderr
    found = read_gate(toy.project)
    assert found["baseline"] is None
    assert {check["name"]: check["verdict"] for check in found["checks"]} == {"ttfi": "unclear", "image size": "fail"}
    unclear = toy.project.run("bench", "toy", "--tag", toy.tag, "--max-ttfi", "1ms", "--max-pairs", "1")
    assert "no clear verdict after 1 start:" in unclear.expect(VerdictUnclear.exit_code).stderr


def test_a_baseline_at_a_registry_is_pulled(engine: Connection, pushed: Pushed) -> None:
    toy = pushed.built
    words = ("bench", "toy", "--tag", toy.tag)
    by_tag = toy.project.run(*words, "--baseline", f"{pushed.name}:v1", *ONE_PAIR).expect(VerdictUnclear.exit_code)
    baseline = json.loads(by_tag.stdout)["baseline"]
    assert baseline["kind"] == "registry"
    assert "baseline: pulling" in by_tag.stderr
    by_digest = toy.project.run(*words, "--baseline", f"{pushed.name}@{baseline['digest']}", *ONE_PAIR)
    assert "baseline: the Engine has" in by_digest.expect(VerdictUnclear.exit_code).stderr
    assert json.loads(by_digest.stdout)["baseline"]["reference"] == baseline["reference"]
    remove_tag(engine, baseline["reference"])
    for missing in (f"{pushed.name}:v0", "localhost:9/toy:v1"):
        refused = toy.project.run(*words, "--baseline", missing, *ONE_PAIR).expect(BaselineUnusable.exit_code)
        assert f"The baseline {missing} cannot be pulled" in refused.stderr


def git(root: Path, *words: str) -> str:
    own = ("-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("own", sampled([True, False], True), ids=["by_its_own_prebake", "by_this_prebake"])
def test_a_revision_is_built_beside_the_working_tree(engine: Connection, project: Project, tag: str, own: bool) -> None:
    (project.root / ".gitignore").write_text("build/\ntemporary/\nnarration-*\n")
    added = (".",) if own else ("images", ".gitignore")
    git(project.root, "init", "--quiet", "--initial-branch", "main")
    git(project.root, "add", *added)
    git(project.root, "commit", "--quiet", "--message", "before")
    commit = git(project.root, "rev-parse", "HEAD")
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + "\n# a change\n")
    ended = project.run("bench", "toy", "--tag", tag, "--baseline", "main", *ONE_PAIR)
    found = json.loads(ended.expect(VerdictUnclear.exit_code).stdout)
    try:
        assert (found["baseline"]["kind"], found["baseline"]["revision"]) == ("revision", commit)
        assert found["baseline"]["digest"] != found["image"]["digest"]
        assert f"building toy of {commit[:12]} by {'its own' if own else 'this'} Prebake" in ended.stderr
        assert git(project.root, "worktree", "list", "--porcelain").count("worktree ") == 1
        assert project.half_written() == []
        again = project.run("bench", "toy", "--tag", tag, "--baseline", commit, *ONE_PAIR)
        assert "the Engine has the image of revision" in again.expect(VerdictUnclear.exit_code).stderr
    finally:
        remove_tag(engine, found["baseline"]["reference"])


def test_a_name_that_is_neither_image_nor_revision(toy: Built) -> None:
    refused = toy.project.run("bench", "toy", "--tag", toy.tag, "--baseline", "no-such-branch", *ONE_PAIR)
    assert "There is no baseline no-such-branch" in refused.expect(BaselineUnusable.exit_code).stderr


def test_an_image_without_a_model_is_no_baseline(engine: Connection, toy: Built, base: Base) -> None:
    refused = toy.project.run("bench", "toy", "--tag", toy.tag, "--baseline", base.reference, *ONE_PAIR)
    assert "no warm-up request" in refused.expect(BaselineUnusable.exit_code).stderr
    digest = inspect_image(engine, base.reference).digest.removeprefix("sha256:")
    remove_tag(engine, f"{BASELINES}:local-{digest[:32]}")
