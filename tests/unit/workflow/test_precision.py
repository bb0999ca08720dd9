"""What is said where an image of fewer bits starts, and gives an answer that its reference does not allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.errors import AnswerDiffers, StartFailed
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image.precision import Int8
from prebake.spec.project import Project, read_project
from prebake.workflow.start_check.start_check import explain_precision
from tests.support.repository import ROOT

MESSAGE = "the container ended with 75"
DETAILS: dict[str, object] = {"largest_difference": 0.123, "tolerance": 0.0001}


def eight_bits(project: Project) -> Project:
    components = {
        name: each.model_copy(update={"precision": Int8(type="int8")}) for name, each in project.spec.components.items()
    }
    return replace(project, spec=project.spec.model_copy(update={"components": components}))


def fail(plan: Plan, *details: dict[str, object], message: str = MESSAGE) -> None:
    with explain_precision(plan):
        raise StartFailed(message, next_action="read the log", details=details)


def test_the_tolerance_is_written_where_the_model_is_described() -> None:
    project = read_project(ROOT, "duo")
    several = replace(project, models={**project.models, "minilm": eight_bits(project.models["minilm"])})
    with pytest.raises(AnswerDiffers) as caught:
        fail(make_plan(several, Options()), {"model": "minilm", **DETAILS})
    assert "minilm is int8" in caught.value.message
    assert "`warmup: {tolerance: 0.2}` in images/minilm/image.yaml" in str(caught.value.next_action)


def test_another_model_of_fp32_is_not_excused_by_it() -> None:
    project = read_project(ROOT, "duo")
    several = replace(project, models={**project.models, "minilm": eight_bits(project.models["minilm"])})
    with pytest.raises(StartFailed):
        fail(make_plan(several, Options()), {"model": "zimage", **DETAILS})


def test_a_model_by_itself_is_named_by_nothing() -> None:
    project = eight_bits(read_project(ROOT, "minilm"))
    with pytest.raises(AnswerDiffers, match="minilm is int8"):
        fail(make_plan(project, Options()), DETAILS)


@pytest.mark.parametrize("details", [[], [{"largest_difference": "far"}], [{"model": "minilm", **DETAILS}]])
def test_no_sentence_of_the_container_is_read(details: list[dict[str, object]]) -> None:
    project = eight_bits(read_project(ROOT, "minilm"))
    with pytest.raises(StartFailed, match="differ by up to"):
        fail(make_plan(project, Options()), *details, message="numbers differ by up to 0.123, the tolerance is 0.0001")
