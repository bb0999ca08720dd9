"""What was compiled for machines, in a plan: layers of their own, and a manifest that changes with them."""

from __future__ import annotations

from dataclasses import replace

from prebake.documents.artifact import ArtifactFile
from prebake.plan.artifact_layers import compile_command, layer_files, lookup_key, with_artifacts
from prebake.plan.multi_model import join_plans
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile
from tests.support.plans import artifact, named, several


def planned(project: Project, *artifacts: ArtifactFile) -> Plan:
    plan = make_plan(project, Options())
    return with_artifacts(plan, {plan.name: artifacts})


def test_each_is_a_layer_above_weights_and_below_graphs(project: Project) -> None:
    first, second = artifact("a", saved=1), artifact("b", saved=2)
    plan = planned(project, first, second)
    names = [layer.name for layer in plan.layers]
    mine = [f"net {second.label}", f"net {first.label}"]  # what saves more is tried first
    assert names[-4:] == [*mine, "graphs", "code"]
    assert [each.key for each in plan.artifacts] == [second.key, first.key]
    layer = next(layer for layer in plan.layers if layer.name == mine[1])
    assert (layer.kind, layer.size) == ("compiled", 14)
    assert [file.path for file in layer_files(plan, layer)] == sorted(first.files)
    assert layer.paths == tuple(f"/models/{path}" for path in sorted(first.files))


def test_engines_come_first_whatever_the_start_alone_saves(project: Project) -> None:
    found = [artifact("a", 9, name="optimized"), artifact("b", 1, name="timing-cache"), artifact("c", 2, name="engine")]
    candidates = [each.entry["name"] for each in planned(project, *found).artifacts]
    assert candidates == ["engine", "timing-cache", "optimized"]


def test_artifacts_of_one_candidate_are_tried_together(project: Project) -> None:
    """Another machine's in between would be told as a step down to it."""
    found = [
        artifact("a", 1),
        artifact("b", 3),
        artifact("b", 2, name="compatible"),
        artifact("c", 9, name="compatible"),
    ]
    plan = planned(project, *found)
    tried = [(each.entry["name"], each.machine) for each in plan.artifacts]
    assert tried == [
        ("compatible", "processor c"),
        ("compatible", "processor b"),
        ("native", "processor b"),
        ("native", "processor a"),
    ]


def test_another_set_makes_other_graphs_and_nothing_else(project: Project) -> None:
    plans = [planned(project), planned(project, artifact("a")), planned(project, artifact("a"), artifact("b"))]
    keys = [{layer.name: layer.key for layer in plan.layers} for plan in plans]
    assert len({each["graphs"] for each in keys}) == 3
    for name in keys[0].keys() - {"graphs"}:
        assert len({each[name] for each in keys}) == 1
    assert planned(project) == make_plan(project, Options())
    assert len({plan.compile_key for plan in plans}) == 1


def test_what_is_taken_away_was_never_there(project: Project) -> None:
    plan = planned(project, artifact("a"), artifact("b"))
    assert with_artifacts(plan, {plan.name: [artifact("b")]}) == planned(project, artifact("b"))
    assert with_artifacts(plan, {}) == planned(project)


def test_models_of_one_image_have_theirs_apart(project: Project) -> None:
    left, right = named(project, "left"), named(project, "right")
    whole = join_plans(several(left, right), Options(), [make_plan(each, Options()) for each in (left, right)])
    mine = artifact("a")
    plan = with_artifacts(whole, {"left": [mine], "right": [mine]})
    layers = [layer for layer in plan.layers if layer.kind == "compiled"]
    assert [layer.name for layer in layers] == [f"{name}/net {mine.label}" for name in ("left", "right")]
    for name, layer in zip(("left", "right"), layers, strict=True):
        assert {file.path for file in layer_files(plan, layer)} == {f"members/{name}/{path}" for path in mine.files}
    assert [model.artifacts for model in plan.models] == [(mine,), (mine,)]
    assert with_artifacts(plan, {}).layers == whole.layers


def test_the_lookup_key_follows_what_is_exported_and_the_target_alone(project: Project) -> None:
    key = lookup_key(make_plan(project, Options()))
    served = replace(project, serve=(SourceFile("images/tiny/model.py", b"changed"),))
    limits = project.spec.limits.model_copy(update={"queue": 3})
    limited = replace(project, spec=project.spec.model_copy(update={"limits": limits}))
    assert lookup_key(make_plan(served, Options())) == lookup_key(make_plan(limited, Options())) == key
    exported = replace(project, export=(SourceFile("images/tiny/export.py", b"changed"),))
    compiler = replace(project, bake=(SourceFile("prebake/bake/compilers/tensorrt.py", b"changed"),))
    others = [make_plan(exported, Options()), make_plan(compiler, Options()), make_plan(project, Options("cuda"))]
    assert len({key, *map(lookup_key, others)}) == 4


def test_only_a_plan_for_a_gpu_that_has_none_tells_how_to_make_them(project: Project) -> None:
    for_gpu = make_plan(project, Options("cuda"))
    assert compile_command(for_gpu) == "prebake compile --model tiny --target cuda --checkpoint sample --push REF"
    assert compile_command(with_artifacts(for_gpu, {"tiny": [artifact("H100")]})) == ""
    assert compile_command(make_plan(project, Options())) == ""
