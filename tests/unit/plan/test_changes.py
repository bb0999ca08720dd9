"""What a change has made again, layer by layer."""

from __future__ import annotations

from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.changes import changed_layers
from prebake.plan.multi_model import join_plans
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import Project
from tests.support.plans import artifact, named, several


def test_what_is_compiled_goes_with_what_it_was_made_of_and_with_nothing_else(project: Project) -> None:
    found = {"tiny": [artifact("a"), artifact("b")]}
    plan = with_artifacts(make_plan(project, Options()), found)
    order = [layer.name for layer in plan.layers]
    compiled = [layer.name for layer in plan.layers if layer.kind == "compiled"]
    touched = changed_layers(project, Options(), found)
    without = changed_layers(project, Options(), {})
    for change, names in touched.items():
        made_of = change in ("export.py", "weights", "precision")
        assert [name for name in names if name in compiled] == (compiled if made_of else [])
        assert [name for name in names if name not in compiled] == list(without[change])
        assert list(names) == [name for name in order if name in names]
    assert len(compiled) == 2
    assert "base" in touched


def test_a_change_of_buckets_compiles_again_and_one_of_precision_exports_again(project: Project) -> None:
    touched = changed_layers(project, Options(), {})
    assert touched["buckets"] == ("graphs",)
    assert touched["precision"] == ("net/model.safetensors", "old (derived)", "graphs")
    assert project.spec.components["net"].precision.type == "fp32"  # the project is as it was


def test_of_several_models_each_has_its_own_made_again(project: Project) -> None:
    left, right = named(project, "left"), named(project, "right")
    whole = several(left, right)
    found = {"left": [artifact("a")], "right": [artifact("b")]}
    plan = join_plans(whole, Options(), [make_plan(each, Options()) for each in (left, right)])
    compiled = [layer.name for layer in with_artifacts(plan, found).layers if layer.kind == "compiled"]
    assert set(compiled) < set(changed_layers(whole, Options(), found)["export.py"])
    assert not set(compiled) & set(changed_layers(whole, Options(), found)["model.py"])
