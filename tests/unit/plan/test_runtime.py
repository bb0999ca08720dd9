"""What a target that torch serves is made of: the published files, packages of its own, no graphs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from prebake.errors import SpecInvalid
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.lock import Lock, LockedCheckpoint
from prebake.spec.project import Project
from prebake.spec.reader import parse_image
from prebake.spec.source_file import SourceFile
from tests.unit.plan.conftest import pinned
from tests.unit.spec.test_runtime import SPEC

CUDA = Options(target="cuda")


@pytest.fixture
def by_torch(project: Project) -> Project:
    """``net`` and ``old`` by torch on cuda; on a CPU they are graphs, and ``old`` is converted."""
    assert project.lock is not None
    paths = ("net/config.json", "net/model.safetensors", "old/config.json", "old/model.safetensors")
    files = tuple(
        pinned(path, 80 << 20, ship=path == "net/model.safetensors", digit=digit)
        for path, digit in zip(paths, "abcd", strict=True)
    )
    return replace(
        project,
        spec=parse_image(SPEC, "image.yaml"),
        lock=Lock(project.lock.base, {"sample": LockedCheckpoint("MIT", files)}),
        serve=(SourceFile("images/tiny/model.py", b"serve"),),
        torch=(SourceFile("images/tiny/model_torch.py", b"build"),),
        requirements={**project.requirements, "cuda-torch": "transformers==5\n", "torch-cuda": "torch==2.13.0\n"},
    )


def settings(plan: Plan) -> dict[str, object]:
    (data,) = (file.data for file in plan.context if file.path == "bake/settings.json")
    return dict(json.loads(data or b""))


def test_everything_is_shipped_as_published_and_nothing_derived(by_torch: Project) -> None:
    plan = make_plan(by_torch, CUDA)
    assert {file.path for file in plan.shipped} == {file.path for file in plan.files}
    assert not plan.derived
    assert [layer.kind for layer in plan.layers if layer.kind != "weights"] == ["dependencies", "graphs", "code"]


def test_what_starts_soonest_is_compiled_where_nothing_is_said(by_torch: Project) -> None:
    assert settings(make_plan(by_torch, CUDA))["compiled"] == "auto"
    assert settings(make_plan(by_torch, Options(target="cpu")))["compiled"] == "none"
    said = replace(by_torch, spec=by_torch.spec.model_copy(update={"compiled": {"cuda": "aot"}}))
    assert settings(make_plan(said, CUDA))["compiled"] == "aot"


def test_the_other_target_is_as_it_was(by_torch: Project) -> None:
    plan = make_plan(by_torch, Options(target="cpu"))
    assert {file.path for file in plan.shipped} == {"net/model.safetensors"}
    assert plan.derived == {"old"}
    assert (settings(plan)["runtime"], settings(plan)["networks"]) == ("onnxruntime", "")
    assert "app/images/tiny/model_torch.py" not in {file.path for file in plan.context}


def test_the_stages_are_told_what_serves_and_in_which_precision(by_torch: Project) -> None:
    told = settings(make_plan(by_torch, CUDA))
    assert (told["runtime"], told["networks"]) == ("torch", "images.tiny.model_torch")
    assert {each["precision"]["type"] for each in told["components"].values()} == {"bf16"}  # type: ignore[attr-defined]
    named = replace(by_torch, spec=parse_image(SPEC.replace("net: {}", "net: {precision: fp32}"), "image.yaml"))
    told = settings(make_plan(named, CUDA))
    precisions = {name: each["precision"]["type"] for name, each in told["components"].items()}  # type: ignore[attr-defined]
    assert precisions == {"net": "fp32", "old": "bf16"}


def test_stages_and_server_have_the_code_that_builds_networks(by_torch: Project) -> None:
    paths = {file.path for file in make_plan(by_torch, CUDA).context}
    assert {"app/images/tiny/model_torch.py", "bake/images/tiny/model_torch.py", "bake/images/tiny/model.py"} <= paths
    assert {"requirements/cuda-torch.txt", "requirements/torch-cuda.txt"} <= paths


def test_another_torch_moves_the_packages(by_torch: Project) -> None:
    newer = replace(by_torch, requirements={**by_torch.requirements, "torch-cuda": "torch==2.14.0\n"})
    before, after = (make_plan(each, CUDA).layers[0] for each in (by_torch, newer))
    assert before.name == "dependencies"
    assert before.key != after.key


def test_packages_that_are_not_locked_are_named(by_torch: Project) -> None:
    kept = {name: text for name, text in by_torch.requirements.items() if name not in ("cuda-torch", "torch-cuda")}
    with pytest.raises(SpecInvalid) as caught:
        make_plan(replace(by_torch, requirements=kept), CUDA)
    assert [problem.where for problem in caught.value.problems] == [
        "images/tiny/requirements/cuda-torch.txt",
        "images/tiny/requirements/torch-cuda.txt",
    ]
