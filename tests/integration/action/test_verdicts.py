"""All steps of the action, for each verdict and for a first run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.action.conftest import Stage
from tests.support.action.runs import ACTION, Ran, pull_request
from tests.support.action.stand_in import DIGEST

USED = {
    "actions/setup-python",
    "actions/cache/restore",
    "actions/cache/save",
    "actions/upload-artifact",
}


def notice_of(ran: Ran) -> str:
    """The only notice that there is no baseline."""
    (found,) = [line for line in ran.log.splitlines() if line.startswith("::notice title=There is no baseline yet::")]
    return found


def test_a_pass_is_green_and_gives_all_outputs(stage: Stage, request_event: dict[str, Any]) -> None:
    ran = stage.run(request_event, max_regression="10%", max_ttfi="2s", max_image_size="1.5GB", max_pairs="20")
    assert ran.failed == {}
    assert ran.outputs == {
        "digest": DIGEST,
        "image": "prebake/toy:cpu-small",
        "ttfi": "0.9",
        "ratio": "1.46",
        "verdict": "pass",
    }
    assert stage.bench[1:] == [
        "toy",
        "--target=cpu",
        f"--project={stage.runner.workspace}",
        f"--baseline={stage.git('rev-parse', 'HEAD')}",
        "--max-regression=10%",
        "--max-ttfi=2s",
        "--max-image-size=1.5GB",
        "--max-pairs=20",
    ]
    assert "### pass" in ran.summary
    assert set(ran.used) == USED
    assert ran.used["actions/cache/restore"] == ran.used["actions/cache/save"]


def test_a_fail_is_red_after_summary_and_comment_were_written(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "fail", "message": "1.46 times as slow:\n100% of it is `import`"})
    ran = stage.run(request_event, registry="127.0.0.1:9/acme", baseline="HEAD", push="true")
    assert ran.failed == {"Judge": 46}
    assert "### fail" in ran.summary
    assert [comment["body"] for comment in stage.github.comments] == ["<!-- prebake-gate:toy -->\n### fail\n"]
    assert "Push the image" not in ran.exit_codes
    expected = (
        "::error file=images/toy/image.yaml,line=1,title=toy%3A the gate failed::1.46 times as slow:%0A100%25 of it"
    )
    assert expected in ran.logs["Judge"]
    assert ran.outputs["verdict"] == "fail"


@pytest.mark.parametrize(("unclear", "failed"), [("warn", {}), ("fail", {"Judge": 69})])
def test_a_noisy_machine_blocks_a_merge_only_if_that_is_asked_for(
    stage: Stage, request_event: dict[str, Any], unclear: str, failed: dict[str, int]
) -> None:
    stage.behave(bench={"verdict": "unclear", "message": "the machine is too noisy"})
    ran = stage.run(request_event, unclear=unclear)
    assert ran.failed == failed
    level = "error" if failed else "warning"
    assert f"::{level} title=toy%3A the comparison is unclear::the machine is too noisy" in ran.log


def test_a_first_run_measures_and_says_that_there_is_no_baseline(stage: Stage) -> None:
    ran = stage.run(variables={"GITHUB_EVENT_NAME": "push"}, baseline="main@{never}")
    assert ran.failed == {}
    assert "Nothing was judged: neither max-ttfi nor max-image-size is set." in notice_of(ran)
    assert (ran.outputs["verdict"], ran.outputs["ratio"], ran.outputs["ttfi"]) == ("none", "", "0.61")
    assert "no baseline yet" in ran.summary
    assert DIGEST in ran.summary
    assert "--gate" in stage.bench  # image.yaml may have limits


def test_a_missing_baseline_is_red_if_that_is_asked_for(stage: Stage) -> None:
    ran = stage.run(baseline="nowhere", missing_baseline="fail")
    assert ran.failed == {"Find the baseline": 82}
    assert "::error title=There is no baseline::`baseline: nowhere` is neither" in ran.log


def test_a_baseline_that_cannot_be_used_is_red(stage: Stage, request_event: dict[str, Any]) -> None:
    error = {"exit_code": 82, "error": "BaselineUnusable", "message": "It answers otherwise.", "next_action": "look"}
    stage.behave(bench={"verdict": "pass", "error": error})
    ran = stage.run(request_event)
    assert ran.failed == {"Compare the starts": 82}
    assert "::error title=prebake%3A BaselineUnusable (82)::It answers otherwise.%0Anext: look" in ran.log


def test_a_document_of_another_verdict_is_refused(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "pass", "document": {"verdict": "fail"}})
    assert stage.run(request_event).failed == {"Compare the starts": 1}


def test_a_new_model_has_no_baseline_in_an_earlier_commit(stage: Stage) -> None:
    before = stage.git("rev-parse", "HEAD")
    (stage.runner.workspace / "images/toy").rename(stage.runner.workspace / "images/newer")
    ran = stage.run(pull_request(sha=before), model="newer")
    assert ran.failed == {}
    assert "has no images/newer/image.yaml: the model is new" in ran.log
    assert ran.outputs["verdict"] == "none"


def test_the_steps_are_scripts_and_no_input_is_pasted_into_one() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), step["name"]


def test_without_a_baseline_the_images_own_limits_are_judged(stage: Stage) -> None:
    judged = {"checks": [{"name": "ttfi"}, {"name": "image size"}], "ratio": None}
    stage.behave(bench={"verdict": "fail", "message": "too large", "document": judged})
    ran = stage.run(max_regression="10%", max_image_size="1GB")
    assert ran.failed == {"Judge": 46}
    assert notice_of(ran).endswith(
        "this event has no earlier commit. The start was compared with nothing. "
        "The image was judged by its own limits: max-ttfi, max-image-size."
    )
    assert stage.bench[2:] == ["--target=cpu", f"--project={stage.runner.workspace}", "--max-image-size=1GB"]


@pytest.mark.parametrize("verdict", ["", "PASS", "maybe"])
def test_a_check_that_judged_nothing_is_not_green(stage: Stage, verdict: str) -> None:
    stage.runner = replace(stage.runner, replaced={**stage.runner.replaced, "gate": {"verdict": verdict}})
    stage.behave(build={})
    (stage.runner.workspace / "build/bench").mkdir(parents=True)
    (stage.runner.workspace / "build/bench/toy-gate.md").write_text("# of an earlier run\n")
    ran = stage.run(baseline="HEAD", push="true", registry="127.0.0.1:9/acme", cache_from="none")
    assert ran.failed == {"Judge": 1}
    assert "::error title=toy%3A not judged::" in ran.log


def test_names_in_the_log_of_a_pass_are_no_commands(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "pass", "message": "one module more:\n::add-mask::pass"})
    log = stage.run(request_event).logs["Judge"]
    assert log.index("::stop-commands::") < log.index("::add-mask::pass") < log.rindex("::\n")


def test_only_files_that_were_written_are_uploaded(stage: Stage, request_event: dict[str, Any], tmp_path: Path) -> None:
    """The commit may have links of similar names, which an upload would follow."""
    secret, folder = tmp_path / "secret", stage.runner.workspace / "build/bench"
    secret.write_text("secret")
    folder.mkdir(parents=True)
    for name in ("toy-secret.json", "toy-gate.json", "toy-gate.html", "toy-gate-action.json"):
        (folder / name).symlink_to(secret)
    ran = stage.run(request_event)
    found = [
        path
        for each in ran.used["actions/upload-artifact"]["path"].splitlines()
        for path in folder.glob(Path(each).name)
    ]
    assert {path.name for path in found} == {"toy-gate.json", "toy-gate.md"}
    assert not any(path.is_symlink() for path in found)
