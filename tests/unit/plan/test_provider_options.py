"""What is said of a GPU provider reaches the stages of the targets that have it, and makes no graph again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.documents.settings import StageSettings
from prebake.plan.stage_settings import make_settings
from prebake.spec.image.image import Target
from prebake.spec.project import Project
from prebake.spec.reader import parse_image
from tests.support.plans import SPEC

COMPONENTS = "{net: {session: {cuda: {use_tf32: true}, tensorrt: {trt_sparsity_enable: true}}}, old: {derived: true}}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("cpu", {}),
        ("cuda", {"cuda": {"use_tf32": "1"}}),
        ("tensorrt", {"cuda": {"use_tf32": "1"}, "tensorrt": {"trt_sparsity_enable": "1"}}),
    ],
)
def test_a_target_has_the_options_of_its_providers(
    project: Project, target: Target, expected: dict[str, dict[str, str]]
) -> None:
    spec = parse_image(f"{SPEC[: SPEC.index('components:')]}components: {COMPONENTS}\n", "images/tiny/image.yaml")
    settings = make_settings(replace(project, spec=spec), target, "published", ())
    assert settings.components["net"].options == expected
    assert StageSettings.from_json(settings.to_json()) == settings
    plain = make_settings(project, target, "published", ())
    assert settings.for_export().components["net"].options == plain.for_export().components["net"].options == {}
