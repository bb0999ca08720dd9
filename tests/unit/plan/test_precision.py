"""What a precision of a component changes of the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.bake.settings import Precision, Session, Settings
from prebake.plan.making import make_plan
from prebake.plan.settings import make_settings
from prebake.plan.values import Options
from prebake.render.dockerfile import render_context
from prebake.spec.image import ImageSpec, Target
from prebake.spec.project import Project, read_templates
from prebake.spec.reading import parse_image
from tests.unit.plan.conftest import SPEC

ROOT = Path(__file__).parents[3]


def spec_with(components: str) -> ImageSpec:
    return parse_image(SPEC[: SPEC.index("components:")] + f"components: {components}\n", "images/tiny/image.yaml")


@pytest.mark.parametrize("said", ["int8", "{type: fp16, bound: 0.1}", "int4"])
def test_published_weights_that_nothing_reads_are_not_shipped(project: Project, said: str) -> None:
    plan = make_plan(
        replace(project, spec=spec_with(f"{{net: {{precision: {said}}}, old: {{derived: true}}}}")), Options()
    )
    assert [file.path for file in plan.shipped] == ["net/vocab.txt"]
    assert plan.derived == {"net", "old"}
    names = {layer.name: layer.kind for layer in plan.layers}
    assert names["net (derived)"] == "derived"
    assert "net/model.safetensors" not in names
    rendered = {file.path for file in render_context(plan, read_templates(ROOT))}
    assert "checkpoint/net/model.safetensors" in rendered  # the export still reads them


def test_published_weights_are_shipped_where_another_component_reads_them(project: Project) -> None:
    components = "{net: {precision: int8}, twin: {folder: net}, old: {derived: true}}"
    plan = make_plan(replace(project, spec=spec_with(components)), Options())
    assert "net/model.safetensors" in {file.path for file in plan.shipped}
    assert "net" in plan.derived


def test_published_weights_of_the_type_itself_are_shipped(project: Project) -> None:
    components = "{net: {precision: bf16, derived: false}, old: {derived: true}}"
    plan = make_plan(replace(project, spec=spec_with(components)), Options())
    assert "net/model.safetensors" in {file.path for file in plan.shipped}
    assert plan.derived == {"old"}


def test_the_stages_are_told_of_precisions_and_how_to_open_them(project: Project) -> None:
    components = (
        "{net: {precision: {type: int8, activations: static, calibration: set.npz, bound: 0.1}},"
        " old: {precision: bf16}, four: {folder: net, precision: int4, session: {prepack: false}},"
        " quick: {folder: net, precision: int4}}"
    )
    spec = spec_with(components)

    def told(target: Target) -> Settings:
        return make_settings(replace(project, spec=spec), target, "sample", ())

    net = told("cpu").components["net"]
    assert net.precision == Precision("int8", 0.1, activations="static", calibration="set.npz")
    assert net.session == Session()
    assert told("cpu").components["old"].session == Session(optimize="basic")
    assert told("cuda").components["old"].session == Session()
    assert [told("cpu").components[name].session.prepack for name in ("four", "quick")] == [False, True]
    assert told("cpu").keeps_half("old")
    assert not told("cuda").keeps_half("old")
