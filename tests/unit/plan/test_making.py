"""The plan: what it holds, and what a change of each input does to its keys."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from prebake.errors import LicenseRequired, LockMismatch, SpecInvalid
from prebake.plan.layers import assign_layers, weight_trees
from prebake.plan.planner import check_license, make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.lock import Lock, LockedFile
from prebake.spec.project import Project
from prebake.spec.reader import parse_image
from prebake.spec.source_file import SourceFile
from tests.support.plans import SPEC


def keys(plan: Plan) -> dict[str, str]:
    return {layer.name: layer.key for layer in plan.layers}


def moved(before: Plan, after: Plan) -> set[str]:
    old, new = keys(before), keys(after)
    assert old.keys() == new.keys()
    return {name for name in old if old[name] != new[name]}


def test_layers_stand_in_order_of_change_and_a_large_file_has_its_own(project: Project) -> None:
    plan = make_plan(project, Options())
    assert [(layer.kind, layer.name) for layer in plan.layers] == [
        ("dependencies", "dependencies"),
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


@pytest.mark.parametrize(
    ("line", "with_exports"),
    [
        ("warmup: {tolerance: 0.5}", False),
        ("limits: {queue: 3}", False),
        ("fallback: error", False),
        ("components: {net: {session: {prepack: true}}, old: {derived: true}}", False),
        ("components: {net: {buckets: [{rows: 4}], pad: {x: 0}, overflow: dynamic}, old: {derived: true}}", False),
        ("components: {net: {precision: {type: fp16, max_relative_error: 0.1}}, old: {derived: true}}", True),
    ],
)
def test_only_a_setting_that_an_export_reads_makes_it_again(project: Project, line: str, *, with_exports: bool) -> None:
    before = make_plan(project, Options())
    kept = SPEC[: SPEC.index("components:")] if line.startswith("components") else SPEC
    after = make_plan(replace(project, spec=parse_image(f"{kept}{line}\n", "images/tiny/image.yaml")), Options())
    assert (before.export_key != after.export_key) is with_exports
    assert before.compile_key != after.compile_key


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
    with pytest.raises(SpecInvalid, match="does not list 'tensorrt'"):
        make_plan(project, Options(target="tensorrt"))


def test_graphs_are_served_with_the_version_that_made_them(project: Project) -> None:
    other = {**project.requirements, "cpu": "onnxruntime==1.30.0 \\\n"}
    with pytest.raises(SpecInvalid, match=r"ONNX Runtime 1\.31\.1, the served packages 1\.30\.0"):
        make_plan(replace(project, requirements=other), Options())


def test_every_difference_between_lock_and_spec_is_named(project: Project) -> None:
    assert project.lock is not None
    files = project.lock.checkpoints["sample"].files
    lock = Lock(
        replace(project.lock.base, reference="python:3.12"),
        {
            "sample": replace(
                project.lock.checkpoints["sample"],
                license="GPL",
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


def test_a_license_that_asks_for_acceptance_stops_the_build(project: Project) -> None:
    plan = replace(make_plan(project, Options()), checkpoint="real")
    with pytest.raises(LicenseRequired) as caught:
        check_license(plan, ["LicenseRef-Other"])
    assert "--accept-license LicenseRef-Strict" in caught.value.next_action
    check_license(plan, ["LicenseRef-Strict"])
    check_license(plan, ["licenseref-Strict", "mit"])  # SPDX: the case of letters makes no difference


def test_an_accepted_license_that_is_none_is_named_with_what_was_meant(project: Project) -> None:
    plan = make_plan(project, Options())
    with pytest.raises(LicenseRequired, match=r"'Apache2' is not an SPDX .* did you mean 'Apache-2.0'"):
        check_license(plan, ["MIT", "Apache2"])


def test_room_counts_the_store_with_what_is_converted_and_the_engine_with_its_snapshots(project: Project) -> None:
    plan = make_plan(project, Options())
    every = sum(file.size for file in plan.files)
    converted = sum(file.size for file in plan.files if not file.ship)
    assert plan.room["store"] == every + 2 * converted  # of half precision, it comes out twice as large
    assert plan.room["engine"] == 4 * 2**30 + 2 * (every + 2 * converted)


def sized(project: Project, sizes: dict[str, int]) -> Project:
    """The project with files of other sizes."""
    assert project.lock is not None
    pinned = project.lock.checkpoints["sample"]
    files = tuple(replace(file, size=sizes.get(file.path, file.size)) for file in pinned.files)
    return replace(project, lock=replace(project.lock, checkpoints={"sample": replace(pinned, files=files)}))


def test_a_file_that_registries_would_refuse_is_shipped_in_parts_that_the_export_makes(project: Project) -> None:
    plan = make_plan(sized(project, {"net/model.safetensors": 11 * 10**9}), Options())
    assert [(layer.kind, layer.name) for layer in plan.layers if layer.kind in ("weights", "derived")] == [
        ("weights", "net/vocab.txt"),
        ("derived", "net (derived)"),
        ("derived", "old (derived)"),
    ]
    settings = json.loads(next(file.data for file in plan.context if file.path == "bake/settings.json") or b"")
    assert [each["path"] for each in settings["reshard"]] == ["net/model.safetensors"]
    assert [each["path"] for each in settings["ship"]] == ["net/vocab.txt"]
    assert plan.room["store"] == 3 * 11 * 10**9 + 1000 + 3 * 5000


def test_a_file_just_below_the_limit_stays_as_it_was_published(project: Project) -> None:
    plan = make_plan(sized(project, {"net/model.safetensors": 10**10 - 2**20}), Options())
    assert "net/model.safetensors" in keys(plan)


def test_a_file_that_nobody_knows_to_cut_is_refused(project: Project) -> None:
    with pytest.raises(SpecInvalid, match=r"net/vocab\.txt has 11000000000 bytes") as caught:
        make_plan(sized(project, {"net/vocab.txt": 11 * 10**9}), Options())
    assert "export.py" in caught.value.next_action


def test_small_files_share_layers_of_a_bounded_size() -> None:
    files = [
        LockedFile(f"net/{n:03}", "sample", "7", f"net/{n:03}", 60 << 20, "a" * 64, "MIT", True) for n in range(100)
    ]
    trees = weight_trees(files)
    assert [file for tree in trees for file in tree.files] == files
    assert len(trees) == 2
    assert all(sum(file.size for file in tree.files) <= 4 * 2**30 for tree in trees)


def test_layers_of_many_small_files_have_names_of_their_own(project: Project) -> None:
    assert project.lock is not None
    spec, pinned = project.spec, project.lock.checkpoints["sample"]
    files = tuple(replace(pinned.files[1], path=f"net/{n:03}.txt", size=60 << 20) for n in range(100))
    layers = assign_layers(spec, files, dict.fromkeys(("base", "packages", "code", "export", "compile"), ""), (), "")
    assert [layer.name for layer in layers if layer.kind == "weights"] == ["published files", "published files 2"]
