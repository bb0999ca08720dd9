"""Libraries compiled in a container that has a C++ compiler, opened in another that has none."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from prebake.bootstrap.toolchain import toolchain_recipe
from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import Bind, ContainerSpec
from prebake.docker.containers.containers import running
from prebake.docker.images.base_image import ensure_debian_base
from prebake.documents.artifact import ARTIFACT_FILE, ArtifactFile, add_artifacts, find_stale_inputs
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.settings import StageSettings
from prebake.measure import client
from prebake.oci.records.layer_records import Records
from prebake.plan.artifact_layers import compile_command, lookup_key
from prebake.plan.image_config import container_config
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from prebake.workflow.start_check.launcher import StartedServer
from tests.support.bake.host_bake import bake_folder
from tests.support.commands.projects import Ended, Project, change_spec, clone, pin_weights, reach
from tests.support.images.blocks.checkpoint import write_checkpoint
from tests.support.images.blocks.export import VALUES
from tests.support.registries.registry import running_registry
from tests.support.repository import ROOT

FILES = ("net/config.json", "net/model.safetensors")
SPEC = {
    "schema": 2,
    "name": "blocks",
    "title": "Blocks",
    "description": "A network of equal blocks.",
    "base": "python:3.11-slim-bookworm",
    "targets": ["cpu"],
    "runtime": {"cpu": "torch"},
    "compiled": {"cpu": "aot"},
    "checkpoint": "small",
    "checkpoints": {
        "small": {
            "license": {"id": "CC0-1.0"},
            "sources": [{"from": "local", "folder": "checkpoint", "files": list(FILES), "ship": [FILES[1]]}],
        }
    },
    "components": {"net": {}},
    "code": {"torch": ["model_torch.py"], "serve": ["model.py"], "export": ["export.py"]},
}
FOLDER = ROOT / "tests" / "support" / "images" / "blocks"


def blocks_project(folder: Path, **variables: str) -> Project:
    """``tests/support/images/blocks`` as an image of a project, on the packages of the image that torch can serve here."""
    project = clone(folder, variables=variables)
    image = project.root / "images" / "blocks"
    shutil.copytree(ROOT / "images" / "zimage" / "requirements", image / "requirements")
    for name in ("model.py", "model_torch.py", "export.py"):
        (image / name).write_text((FOLDER / name).read_text().replace("tests.support.images.blocks", "images.blocks"))
    (image / "image.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    write_checkpoint(project.root / "checkpoint")
    pin_weights(project.root, "blocks")
    return project


@dataclass(frozen=True)
class Compiled:
    project: Project
    ended: Ended
    artifact: ArtifactFile
    store: Store
    reference: str


@pytest.fixture(scope="module")
def compiled(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    """In the stage's containers. The toolchain is made with this machine's cache, which keeps it for the next session."""
    ensure_debian_base(engine, toolchain_recipe())
    folder = tmp_path_factory.mktemp("compiled")
    project = blocks_project(folder / "project", **reach(engine), PREBAKE_CACHE=str(folder / "cache"))
    with running_registry(folder) as address:
        reference = f"{address}/models/blocks:v1"
        words = ("--model", "blocks", "--base", "bootstrap", "--json", "--push", reference)
        yield read_compiled(folder, project, project.run("compile", *words).expect(0), reference)


def read_compiled(folder: Path, project: Project, ended: Ended, reference: str) -> Compiled:
    store = Store(folder / "cache" / "store")
    ((files),) = (
        Records(store.root).listed(lookup_key(make_plan(read_project(project.root, "blocks"), Options()))).values()
    )
    (description,) = (file for file in files if file.path == ARTIFACT_FILE)
    artifact = ArtifactFile.from_json(store.place(description.sha256).read_bytes())
    return Compiled(project, ended, artifact, store, reference)


@pytest.fixture(scope="module")
def models(compiled: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What an image holds at /models: baked by this machine's own Python, and what the container compiled."""
    plan = make_plan(read_project(compiled.project.root, "blocks"), Options())
    settings = next(file.data for file in plan.context if file.path == "bake/settings.json") or b""
    folder = tmp_path_factory.mktemp("image") / "models"
    sys.path.insert(0, str(compiled.project.root))
    sys.modules.pop("images", None)
    bake_folder("blocks", compiled.project.root / "checkpoint", StageSettings.from_json(settings), folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert find_stale_inputs(compiled.artifact, manifest["components"]) == []
    (folder / "manifest.json").write_bytes(seal_manifest(add_artifacts(manifest, [compiled.artifact])))
    for path, file in compiled.artifact.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(compiled.store.place(str(file["sha256"])), folder / path)
    yield folder
    sys.path.remove(str(compiled.project.root))
    for name in [name for name in sys.modules if name.startswith("images.blocks")]:
        del sys.modules[name]


def test_it_is_keyed_by_the_compiler_and_the_machine(compiled: Compiled) -> None:
    (told,) = json.loads(compiled.ended.stdout)["artifacts"]
    assert (told["name"], told["key"], told["kept"]) == ("aot", compiled.artifact.key, True)
    fields = compiled.artifact.entry["key_inputs"]
    assert re.match(r"gcc version \d+", fields["compiler_inputs"]["compiler"])
    assert fields["machine"]["device"] == "cpu"


def test_plans_here_and_on_another_machine_have_it(compiled: Compiled, tmp_path: Path) -> None:
    elsewhere = {"PREBAKE_CACHE": str(tmp_path), "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    words = ("--model", "blocks", "--plan", "--json")
    for ended in (
        compiled.project.run(*words),
        compiled.project.run(*words, "--push", compiled.reference, **elsewhere),
    ):
        (listed,) = json.loads(ended.expect(0).stdout)["artifacts"]
        assert (listed["key"], listed["requires"]) == (compiled.artifact.key, compiled.artifact.entry["requires"])
    assert json.loads(compiled.project.run(*words, **elsewhere).expect(0).stdout)["artifacts"] == []


def test_a_container_without_a_compiler_answers_by_it(engine: Connection, compiled: Compiled, models: Path) -> None:
    (image,) = re.findall(r"export: in a container of (\S+)", compiled.ended.stderr)
    plan = make_plan(read_project(compiled.project.root, "blocks"), Options())
    config = container_config(plan)
    code = [Bind(compiled.project.root / name, f"/app/{name}") for name in ("entrypoints", "images")]
    spec = ContainerSpec(
        image,
        command=[*config.entrypoint[1:]],
        entrypoint=[config.entrypoint[0]],
        environment={**config.env, "PYTHONPATH": "/app:/opt/export", "PREBAKE_FALLBACK": "error"},
        ports=[config.ports[0]],
        binds=[*code, Bind(models, "/models")],
        user=f"{os.getuid()}:{os.getgid()}",  # who alone may read a test's folders
    )
    with running(engine, spec) as container:
        server = StartedServer(container)
        client.wait_until(server, client.is_ready, 90, "ready")
        url = f"http://127.0.0.1:{server.port}"
        startup: dict[str, Any] = httpx.get(f"{url}/startup").json()
        answer = httpx.post(
            f"{url}/generate", json={"values": ",".join(map(str, VALUES)), "rows": 5}, timeout=60
        ).json()
    assert (startup["opened"], startup["fallbacks"], startup["notices"]) == ({"net": "aot"}, [], [])
    warmup = json.loads(next((models / "warmup").glob("answer*")).read_bytes())
    np.testing.assert_allclose(answer["y"], warmup["y"][:1] * 5, rtol=1e-5, atol=1e-5)


def test_another_form_is_looked_up_apart_and_none_is_not_asked_for(compiled: Compiled, tmp_path: Path) -> None:
    project = Project(Path(shutil.copytree(compiled.project.root, tmp_path / "project")))

    def key(compiled_as: str) -> str:
        change_spec(project, lambda document: document.update(compiled={"cpu": compiled_as}), "blocks")
        return lookup_key(make_plan(read_project(project.root, "blocks"), Options()))

    assert len({key(each) for each in ("aot", "auto", "compile-cache", "none")}) == 4


def test_a_plan_for_a_gpu_tells_how_its_libraries_are_made(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "zimage")
    plan = make_plan(read_project(project.root, "zimage"), Options("cuda"))
    assert compile_command(plan) == "prebake compile --model zimage --target cuda --checkpoint sample --push REF"
    change_spec(project, lambda document: document.update(compiled={"cuda": "none"}), "zimage")
    assert compile_command(make_plan(read_project(project.root, "zimage"), Options("cuda"))) == ""
