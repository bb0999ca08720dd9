"""What `serving: {grpc: true}` changes, and that it changes nothing of other images."""

from __future__ import annotations

from pathlib import Path

import yaml

from entrypoints.settings import read_settings
from prebake.plan.image_config import container_config
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.render.dockerfile import render_context
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.project import Project, read_project
from prebake.spec.serving_packages import GRPC_FOLDERS, join_locks
from tests.support.repository import ROOT
from tests.support.schemas import kubernetes_validate

IMAGE = f"registry.example.invalid/minilm@sha256:{'2' * 64}"


def copy_image(folder: Path, serving: str, name: str = "minilm") -> Project:
    """An image of this project, with ``serving`` at the end of its image.yaml."""
    target = folder / "images" / name
    for path in (ROOT / "images" / name).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copied = target / path.relative_to(ROOT / "images" / name)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    with (target / "image.yaml").open("a") as spec:
        spec.write(f"\n{serving}\n")
    return read_project(folder, name)


def files(plan: Plan, project: Project) -> dict[str, bytes | None]:
    return {file.path: file.data for file in render_context(plan, project.templates)}


def test_an_image_without_it_is_what_it_was(tmp_path: Path) -> None:
    """Layers, keys, every file of the context, the configuration."""
    ours = copy_image(tmp_path / "without", "")
    plan = make_plan(ours, Options())
    for number, serving in enumerate(("serving: {}", "serving: {grpc: false}")):
        other = copy_image(tmp_path / str(number), serving)
        same = make_plan(other, Options())
        assert same.layers == plan.layers
        assert files(same, other) == files(plan, ours)
        assert container_config(same) == container_config(plan)
    assert files(plan, ours)["requirements/cpu.txt"] == (ROOT / "images/minilm/requirements/cpu.txt").read_bytes()
    assert not [path for path in files(plan, ours) if any(folder in path for folder in GRPC_FOLDERS)]
    assert container_config(plan).ports == (8000,)
    assert b"\nEXPOSE 8000\n" in (files(plan, ours)["Dockerfile"] or b"")


def test_it_adds_packages_code_a_port_and_a_variable(tmp_path: Path) -> None:
    project = copy_image(tmp_path, "serving: {grpc: true}")
    plan = make_plan(project, Options())
    found = files(plan, project)
    lock = (found["requirements/cpu.txt"] or b"").decode()
    assert lock.startswith((ROOT / "images/minilm/requirements/cpu.txt").read_text())
    assert "\ngrpcio==" in lock
    assert "protobuf" not in lock
    for folder in GRPC_FOLDERS:
        assert [path for path in found if path.startswith(f"app/{folder}")], folder
    config = container_config(plan)
    assert config.ports == (8000, 8001)
    assert read_settings(config.env).grpc_port == 8001
    assert b"\nEXPOSE 8000 8001\n" in (found["Dockerfile"] or b"")
    assert config.over({})["ExposedPorts"] == {"8000/tcp": {}, "8001/tcp": {}}


def test_only_layers_of_packages_and_code_change(tmp_path: Path) -> None:
    without, having = (
        make_plan(copy_image(tmp_path / str(number), serving), Options())
        for number, serving in enumerate(("", "serving: {grpc: true}"))
    )
    pairs = zip(without.layers, having.layers, strict=True)
    assert {old.name for old, new in pairs if old.key != new.key} == {"dependencies", "code"}


def test_batching_sets_variables_alone(tmp_path: Path) -> None:
    """``batching`` changes the configuration, and no layer."""
    keys = ("", "batching: {}", "batching: {size: 8}", "batching: {size: 1, wait: 0.0}")
    plans = [make_plan(copy_image(tmp_path / str(number), key), Options()) for number, key in enumerate(keys)]
    plain, empty, small, single = (container_config(plan) for plan in plans)
    assert all(plan.layers == plans[0].layers for plan in plans)
    assert empty == plain
    assert {"PREBAKE_BATCH_SIZE", "PREBAKE_BATCH_WAIT"}.isdisjoint(plain.env)
    settings = [
        (each.batch_size, each.batch_wait) for each in (read_settings(config.env) for config in (plain, small, single))
    ]
    assert settings == [(0, -1.0), (8, -1.0), (1, 0.0)]


def test_a_cluster_routes_to_the_port(tmp_path: Path) -> None:
    project = copy_image(tmp_path, "serving: {grpc: true}")
    objects = list(yaml.safe_load_all(render_deployment(project.spec, Deployment(IMAGE, "cpu"))))
    for document in objects:
        kubernetes_validate.validate(document, "1.34", strict=True)
    deployment, service = objects
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 8000, "grpc": 8001}
    (grpc,) = (port for port in service["spec"]["ports"] if port["name"] == "grpc")
    assert (grpc["port"], grpc["targetPort"], grpc["appProtocol"]) == (8001, "grpc", "kubernetes.io/h2c")


def test_an_image_of_several_models_speaks_it_for_all(tmp_path: Path) -> None:
    members = yaml.safe_load((ROOT / "images/duo/image.yaml").read_text())["models"]
    for name in members:
        copy_image(tmp_path, "", name)
    project = copy_image(tmp_path, "serving: {grpc: true}", "duo")
    plan = make_plan(project, Options())
    assert "\ngrpcio==" in (files(plan, project)["requirements/cpu.txt"] or b"").decode()
    assert container_config(plan).env["PREBAKE_GRPC_PORT"] == "8001"


def test_a_model_s_own_choice_is_not_that_of_the_image_of_several(tmp_path: Path) -> None:
    first, *others = yaml.safe_load((ROOT / "images/duo/image.yaml").read_text())["models"]
    copy_image(tmp_path, "serving: {grpc: true}", first)
    for name in others:
        copy_image(tmp_path, "", name)
    project = copy_image(tmp_path, "", "duo")
    assert "grpcio" not in (files(make_plan(project, Options()), project)["requirements/cpu.txt"] or b"").decode()


def test_a_package_that_the_image_pins_is_not_pinned_twice() -> None:
    own = "a==1 \\\n    --hash=sha256:1\ntyping-extensions==4.0 \\\n    --hash=sha256:2\n"
    more = "grpcio==2 \\\n    --hash=sha256:3\ntyping-extensions==4.16 \\\n    --hash=sha256:4\n"
    assert join_locks(own, more) == f"{own}grpcio==2 \\\n    --hash=sha256:3\n"
