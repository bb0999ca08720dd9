"""What is said where an image of fewer bits starts, and gives an answer that its reference does not allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.errors import AnswerDiffers, StartFailed
from prebake.plan.making import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.precision import Int8
from prebake.spec.project import Project, read_project
from prebake.workflow.proving import precision_told

ROOT = Path(__file__).parents[3]
FAULT = "the container ended with 75:\nthe warm-up's answer differs: {}numbers differ by up to 0.123, the tolerance is 0.0001"


def eight_bits(project: Project) -> Project:
    components = {
        name: each.model_copy(update={"precision": Int8(type="int8")}) for name, each in project.spec.components.items()
    }
    return replace(project, spec=project.spec.model_copy(update={"components": components}))


def fail(plan: Plan, message: str) -> None:
    with precision_told(plan):
        raise StartFailed(message, next_action="read the log")


def test_the_tolerance_is_written_where_the_model_is_described() -> None:
    project = read_project(ROOT, "duo")
    several = replace(project, members={**project.members, "minilm": eight_bits(project.members["minilm"])})
    with pytest.raises(AnswerDiffers) as caught:
        fail(make_plan(several, Options()), FAULT.format("minilm: $[0]: 1 expected, 2 given; "))
    assert "minilm is int8" in caught.value.message
    assert "`warmup: {tolerance: 0.2}` in images/minilm/image.yaml" in str(caught.value.next_action)


def test_another_model_of_fp32_is_not_excused_by_it() -> None:
    project = read_project(ROOT, "duo")
    several = replace(project, members={**project.members, "minilm": eight_bits(project.members["minilm"])})
    with pytest.raises(StartFailed):
        fail(make_plan(several, Options()), FAULT.format("zimage: $[0]: 1 expected, 2 given; "))


def test_a_model_by_itself_is_named_by_nothing() -> None:
    project = eight_bits(read_project(ROOT, "minilm"))
    with pytest.raises(AnswerDiffers, match="minilm is int8"):
        fail(make_plan(project, Options()), FAULT.format(""))
