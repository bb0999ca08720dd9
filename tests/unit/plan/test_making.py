"""The plan: what it holds, and what a change of each input does to its keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.errors import LicenceRequired, LockMismatch, SpecInvalid
from prebake.plan.making import check_licence, make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.lock import Lock
from prebake.spec.project import Project, SourceFile


def keys(plan: Plan) -> dict[str, str]:
    return {layer.name: layer.key for layer in plan.layers}


def moved(before: Plan, after: Plan) -> set[str]:
    old, new = keys(before), keys(after)
    assert old.keys() == new.keys()
    return {name for name in old if old[name] != new[name]}


def test_layers_stand_in_order_of_change_and_a_large_file_has_its_own(project: Project) -> None:
    plan = make_plan(project, Options())
    assert [(layer.kind, layer.name) for layer in plan.layers] == [
        ("dependencies", "packages"),
        ("weights", "net/model.safetensors"),
        ("weights", "net/vocab.txt"),
        ("derived", "old (derived)"),
        ("graphs", "graphs"),
        ("code", "code"),
    ]
    assert plan.layers[1].size == 80 << 20
    assert plan.layers[2].paths == ("/models/net/vocab.txt",)


def test_the_same_inputs_make_the_same_plan(project: Project) -> None:
    assert make_plan(project, Options()) == make_plan(project, Options())


def test_a_change_of_served_code_moves_the_code_layer_alone(project: Project) -> None:
    after = replace(project, serve=(SourceFile("images/tiny/model.py", b"other"),))
    assert moved(make_plan(project, Options()), make_plan(after, Options())) == {"code"}


def test_a_change_of_the_entrypoint_moves_the_code_layer_alone(project: Project) -> None:
    after = replace(project, entrypoints=(SourceFile("entrypoints/serve.py", b"other"),))
    assert moved(make_plan(project, Options()), make_plan(after, Options())) == {"code"}


@pytest.mark.parametrize("part", ["export", "bake"])
def test_a_change_of_the_exporter_moves_what_it_makes_and_no_published_weights(project: Project, part: str) -> None:
    before = getattr(project, part)[0]
    after = replace(project, **{part: (SourceFile(before.path, b"other"),)})  # type: ignore[arg-type]
    assert moved(make_plan(project, Options()), make_plan(after, Options())) == {"old (derived)", "graphs"}


def test_a_change_of_one_weight_moves_its_layer_and_what_is_made_of_it(project: Project) -> None:
    assert project.lock is not None
    files = project.lock.checkpoints["sample"].files
    other = (replace(files[0], sha256="e" * 64), *files[1:])
    lock = Lock(project.lock.base, {"sample": replace(project.lock.checkpoints["sample"], files=other)})
    after = replace(project, lock=lock)
    assert moved(make_plan(project, Options()), make_plan(after, Options())) == {
        "net/model.safetensors",
        "old (derived)",
        "graphs",
    }


def test_a_target_must_be_named_by_the_image(project: Project) -> None:
    with pytest.raises(SpecInvalid, match="does not name 'tensorrt'"):
        make_plan(project, Options(target="tensorrt"))


def test_graphs_are_served_with_the_version_that_made_them(project: Project) -> None:
    other = {**project.requirements, "cpu": "onnxruntime==1.30.0 \\\n"}
    with pytest.raises(SpecInvalid, match=r"made with ONNX Runtime 1\.31\.1 and served with 1\.30\.0"):
        make_plan(replace(project, requirements=other), Options())


def test_every_difference_between_lock_and_spec_is_named(project: Project) -> None:
    assert project.lock is not None
    files = project.lock.checkpoints["sample"].files
    lock = Lock(
        replace(project.lock.base, reference="python:3.12"),
        {
            "sample": replace(
                project.lock.checkpoints["sample"],
                licence="GPL",
                files=(
                    replace(files[0], revision="8"),
                    replace(files[1], ship=False),
                    replace(files[2], path="new.pth"),
                ),
            )
        },
    )
    with pytest.raises(LockMismatch) as caught:
        make_plan(replace(project, lock=lock), Options())
    text = caught.value.message
    for part in ("python:3.12", "GPL", "net/vocab.txt", "old.pth", "new.pth", "net/model.safetensors"):
        assert part in text
    assert "prebake lock --model tiny" in caught.value.next_action


def test_a_checkpoint_that_is_not_locked_is_refused_with_the_command_that_locks_it(project: Project) -> None:
    with pytest.raises(LockMismatch) as caught:
        make_plan(project, Options(checkpoint="real"))
    assert "--checkpoint real" in caught.value.next_action


def test_a_licence_that_asks_for_acceptance_stops_the_build(project: Project) -> None:
    plan = replace(make_plan(project, Options()), checkpoint="real")
    with pytest.raises(LicenceRequired) as caught:
        check_licence(plan, "LicenseRef-Other")
    assert "--accept-licence LicenseRef-Strict" in caught.value.next_action
    check_licence(plan, "LicenseRef-Strict")


def test_room_counts_the_store_with_what_is_converted_and_the_engine_with_its_snapshots(project: Project) -> None:
    plan = make_plan(project, Options())
    every = sum(file.size for file in plan.files)
    converted = sum(file.size for file in plan.files if not file.ship)
    assert plan.room["store"] == every + converted
    assert plan.room["engine"] > 2 * every
