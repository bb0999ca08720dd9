"""Wrong and hostile inputs: all are named at once, and none of them is run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.action.conftest import Stage
from tests.support.action.runs import pull_request

HOSTILE = "`touch pwned`$(touch pwned)\";'touch pwned;\ntouch pwned"


def test_every_problem_is_named_at_once(stage: Stage) -> None:
    ran = stage.run(
        model="toy; touch pwned",
        target="tpu",
        registry="https://ghcr.io/x:tag",
        unclear="maybe",
        max_pairs="0",
        baseline=HOSTILE,
        max_ttfi="--project=/",
        project="nowhere",
        cache_from="--help",
    )
    assert ran.failed == {"Check the inputs": 2}
    log = ran.logs["Check the inputs"]
    assert log.count("::error title=The action's inputs::") == 9
    for name in (
        "model",
        "target",
        "registry",
        "unclear",
        "max-pairs",
        "baseline",
        "max-ttfi",
        "project",
        "cache-from",
    ):
        assert f"::{name}: " in log
    assert not (stage.runner.workspace / "pwned").exists()
    assert stage.calls == []


def test_a_hostile_branch_and_token_reach_no_shell(stage: Stage) -> None:
    event = pull_request(sha=stage.git("rev-parse", "HEAD"))
    variables = {"GITHUB_BASE_REF": HOSTILE, "GITHUB_REF_NAME": HOSTILE, "GITHUB_HEAD_REF": HOSTILE}
    ran = stage.run(event, variables, baseline="HEAD", token=HOSTILE.replace("\n", ""), checkpoint="a`touch pwned`")
    assert ran.failed == {}
    assert not list(stage.runner.workspace.rglob("pwned"))
    assert "--checkpoint=a`touch pwned`" in stage.calls[0]


def test_a_log_cannot_give_commands(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "pass"}, log="::set-output name=verdict::pass\n::add-mask::a")
    log = stage.run(request_event).logs["Compare the starts"]
    start = log.index("::stop-commands::")
    token = log[start:].splitlines()[0].removeprefix("::stop-commands::")
    assert start < log.index("::add-mask::a") < log.index(f"::{token}::")
    assert len(token) == 32


def test_an_output_with_line_breaks_gives_no_further_outputs(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "pass"}, build={"image": "toy\nverdict=pass\nEOF\nx<<y"})
    assert stage.run(request_event).outputs["image"] == "toy\nverdict=pass\nEOF\nx<<y"


@pytest.mark.parametrize("project", [".", "models"])
def test_a_wrong_line_of_image_yaml_is_annotated(stage: Stage, project: str) -> None:
    (stage.runner.workspace / "models").mkdir(exist_ok=True)
    problems = [
        {
            "where": "images/toy/image.yaml:3: title",
            "what": "50% of it,\nis wrong",
            "hint": "title: Toy",
            "file": "images/toy/image.yaml",
            "line": 3,
        },
        {"where": "toy", "what": "other", "hint": "", "file": "", "line": None},
    ]
    error = {
        "exit_code": 12,
        "error": "SpecInvalid",
        "message": "No image:",
        "next_action": "fix",
        "problems": problems,
    }
    stage.behave(plan={"error": error})
    ran = stage.run(project=project)
    assert ran.failed == {"Plan the build": 12}
    place = "images/toy/image.yaml" if project == "." else "models/images/toy/image.yaml"
    assert (
        f"::error file={place},line=3,title=prebake%3A SpecInvalid (12)::images/toy/image.yaml:3: title: 50%25 of it,%0Ais wrong "
        "(title: Toy)\n" in ran.log
    )
    assert "::error title=prebake%3A SpecInvalid (12)::No image:%0Anext: fix" in ran.log


def test_too_little_room_ends_the_check_before_anything_is_built(stage: Stage) -> None:
    stage.behave(plan={"room": {"store": 0, "engine": 10**18}})
    ran = stage.run()
    assert ran.failed == {"Check the disk space": 24}
    assert "::error title=Too little disk space::The build needs up to 1000000000.0 GB on the disk of " in ran.log
    assert "docker system prune" in ran.log
    assert len(stage.calls) == 1
    stage.behave(plan={"room": {"store": 10**18, "engine": 10**18}, "pipeline": []}, bench={"verdict": "pass"})
    assert stage.run(baseline="HEAD").failed == {}
