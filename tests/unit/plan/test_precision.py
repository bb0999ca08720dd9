"""What a precision of a component changes of the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.documents.component import Precision, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.plan.multi_model import member_trees, place_members
from prebake.plan.planner import make_plan
from prebake.plan.stage_settings import make_settings
from prebake.plan.values import Options
from prebake.render.dockerfile import render_context
from prebake.spec.image.image import ImageSpec, Target
from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedFile
from prebake.spec.project import Project, read_templates
from prebake.spec.reader import parse_image
from prebake.workflow.checkpoint.lock import lock_layers
from tests.support.plans import SPEC
from tests.support.repository import ROOT


def spec_with(components: str) -> ImageSpec:
    return parse_image(SPEC[: SPEC.index("components:")] + f"components: {components}\n", "images/tiny/image.yaml")


@pytest.mark.parametrize("said", ["int8", "{type: fp16, max_relative_error: 0.1}", "int4"])
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
        "{net: {precision: {type: int8, activations: static, calibration: set.npz, max_relative_error: 0.1}},"
        " old: {precision: bf16}, four: {folder: net, precision: int4, session: {prepack: false}},"
        " quick: {folder: net, precision: int4}}"
    )
    spec = spec_with(components)

    def told(target: Target) -> StageSettings:
        return make_settings(replace(project, spec=spec), target, "sample", ())

    net = told("cpu").components["net"]
    assert net.precision == Precision("int8", 0.1, activations="static", calibration="set.npz")
    assert net.session == SessionSettings(measure=True)
    assert told("cpu").components["old"].session == SessionSettings(optimize="basic", measure=True)
    assert told("cuda").components["old"].session == SessionSettings(optimize="extended")
    said = [told("cpu").components[name].session for name in ("four", "quick")]
    assert said == [SessionSettings(prepack=False), SessionSettings(prepack=True)]
    assert told("cpu").keeps_half("old")
    assert not told("cuda").keeps_half("old")


def test_layers_are_locked_as_the_plan_has_them(project: Project, tmp_path: Path) -> None:
    """A small file of weights that is not shipped is in no layer of small files."""
    store, files = Store(tmp_path), []
    for path in ("net/model.safetensors", "net/vocab.txt"):
        stored = store.add_stream([path.encode()], sha256=None, name=path, origin="a test")
        files.append(LockedFile(path, "sample", "7", path, len(path), stored.sha256, "MIT", True))
    spec = spec_with("{net: {precision: int8}, old: {derived: true}}")
    pinned = LockedCheckpoint("MIT", (*files, *(file for file in sample_of(project).files if not file.ship)))
    (layer,) = lock_layers(spec, pinned, store, {})
    lock = Lock(sample_base(project), {"sample": replace(pinned, layers=(layer,))})
    plan = make_plan(replace(project, spec=spec, lock=lock), Options())
    assert [each.locked for each in plan.layers if each.kind == "weights"] == [layer]
    assert list(layer.files) == ["net/vocab.txt"]


def test_a_folder_of_fewer_bits_lies_apart_from_the_same_as_published(project: Project) -> None:
    """Two models of one checkpoint, the second in eight bits."""
    spec = spec_with("{net: {precision: int8}, old: {derived: true}}").model_copy(update={"name": "small"})
    plans = [make_plan(each, Options()) for each in (project, replace(project, spec=spec))]
    left, right = place_members(plans)
    assert left.place("net/vocab.txt") == "net/vocab.txt"
    assert right.place("net/vocab.txt") == "small.net/vocab.txt"
    assert [file.path for tree in member_trees((left, right)) for file in tree.files] == [
        "net/model.safetensors",
        "net/vocab.txt",
        "small.net/vocab.txt",
    ]


def sample_of(project: Project) -> LockedCheckpoint:
    assert project.lock is not None
    return project.lock.checkpoints["sample"]


def sample_base(project: Project) -> LockedBase:
    assert project.lock is not None
    return project.lock.base
