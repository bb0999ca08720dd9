"""Compiled on one machine, built into an image on another: by its own store and a registry that both reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrypoints.hardware.facts import describe_cpu
from prebake.docker.connection import Connection
from prebake.documents.artifact import ArtifactFile
from prebake.documents.canonical import digest_json
from prebake.measure import client
from prebake.measure.start import START_TIMEOUT_SECONDS
from prebake.oci.blobs.blobs import LAYER, Blob, Descriptor
from prebake.oci.blobs.content import BytesContent
from prebake.oci.layers.compression import digest_content
from prebake.oci.layers.tar import TarEntry, tar_content
from prebake.oci.records.layer_records import LayerRecord, Records
from prebake.oci.records.registry_artifacts import find_artifacts, publish_artifact
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.plan.artifact_layers import lookup_key
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Ended, Project, clone, reach
from tests.support.registries.registry import running_registry

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
ANOTHER = "x86_64 amx_tile avx2"


@dataclass(frozen=True)
class Shipped:
    """``ended`` is the build on the machine that compiled nothing."""

    project: Project
    name: str
    tag: str
    compiled: dict[str, Any]
    ended: Ended

    @property
    def cache(self) -> str:
        return str(self.project.root / "builder")


def run_json(project: Project, *words: str, **variables: str) -> dict[str, Any]:
    return dict(json.loads(project.run(*words, "--json", **variables).expect(0).stdout))


def store_of(project: Project, machine: str) -> Path:
    return project.root / machine / "store"


def made_for(artifact: ArtifactFile, processor: str) -> ArtifactFile:
    """The same as if another machine had made it."""
    fields = {**artifact.entry["requires"], "processor": processor}
    key_fields = {**artifact.entry["key_inputs"], "machine": fields}
    entry = {**artifact.entry, "requires": fields, "key_inputs": key_fields, "key": digest_json(key_fields)}
    other = ArtifactFile(artifact.component, entry, artifact.files)
    text = other.to_json().decode().replace(artifact.label, other.label)
    return ArtifactFile.from_json(text.encode())


def publish(repository: Repository, lookup: str, artifact: ArtifactFile, store: Path) -> None:
    """With the bytes of the store's objects."""
    objects = {path: (store / "sha256" / file["sha256"][:2] / file["sha256"]) for path, file in artifact.files.items()}
    tar = tar_content(
        [TarEntry(f"models/{path}", content=BytesContent(place.read_bytes())) for path, place in objects.items()]
    )
    digest = digest_content(tar)
    layer = LayerRecord(digest, LAYER, digest, tar.size, "asked for", artifact.size)
    blob = Blob(Descriptor(LAYER, digest, tar.size), tar)
    publish_artifact(repository, lookup, artifact.key, artifact.to_json(), layer, blob)


@pytest.fixture(scope="module")
def shipped(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    """``first`` compiled here, ``second`` as if for another processor; then a change of code, and a build elsewhere."""
    folder = tmp_path_factory.mktemp("shipped")
    project = clone(folder / "project", "toy", variables=reach(engine))
    lookup = lookup_key(make_plan(read_project(project.root, "toy"), Options()))
    with running_registry(folder) as address, image_name(engine) as tag:
        words = ("compile", "--model", "toy", "--base", "bootstrap", "--keep-all", "--push", f"{address}/gpu/toy:any")
        compiled = run_json(project, *words, PREBAKE_CACHE=str(project.root / "compiler"))
        name = f"{address}/models/toy"
        with (
            closing(Repository(parse_reference(f"{address}/gpu/toy:any"))) as source,
            closing(Repository(parse_reference(f"{name}:v1"))) as target,
        ):
            found = [ArtifactFile.from_json(each.description) for each in find_artifacts(source, lookup)]
            for artifact in found:
                other = made_for(artifact, ANOTHER) if artifact.component == "second" else artifact
                publish(target, lookup, other, store_of(project, "compiler"))
        with (project.root / "images/toy/model.py").open("a") as code:
            code.write("\n# changed\n")
        words = ("--model", "toy", "--base", "bootstrap", "--tag", tag, "--push", f"{name}:v1")
        ended = project.run(*words, PREBAKE_CACHE=str(project.root / "builder")).expect(0)
        yield Shipped(project, name, tag, compiled, ended)


def test_what_was_compiled_is_reported_and_kept(shipped: Shipped) -> None:
    told = {each["component"]: each for each in shipped.compiled["artifacts"]}
    assert told.keys() == {"first", "second"}
    assert all(each["kept"] and each["requires"]["processor"] == describe_cpu() for each in told.values())
    lookup = lookup_key(make_plan(read_project(shipped.project.root, "toy"), Options()))
    listed = Records(store_of(shipped.project, "compiler")).listed(lookup)
    assert listed.keys() == {each["key"] for each in told.values()}


def test_the_other_machines_image_opens_it_and_tells_what_it_could_not(engine: Connection, shipped: Shipped) -> None:
    with EngineLauncher(engine).start(shipped.tag) as server:
        client.wait_until(server, client.is_live, START_TIMEOUT_SECONDS, "live")
        url = f"http://127.0.0.1:{server.port}"
        client.wait_until(server, client.is_ready, 90, "ready")
        startup = httpx.get(f"{url}/startup").json()
    assert startup["opened"] == {"first": "native", "second": "cpu"}
    (step,) = startup["fallbacks"]
    assert (step["component"], step["from"], step["to"], step["reason"]) == ("second", "native", "cpu", "field")
    assert f"compiled for {ANOTHER}, here {describe_cpu()}" in step["detail"]


def test_its_bytes_were_never_on_the_builder(shipped: Shipped) -> None:
    layers = [layer for layer in shipped.project.report("toy")["layers"] if layer["kind"] == "compiled"]
    assert len(layers) == len(shipped.project.report("toy")["artifacts"]) == 2
    for layer in layers:
        digest = layer["digest"].removeprefix("sha256:")
        assert not (store_of(shipped.project, "builder") / "sha256" / digest[:2] / digest).exists()
        (line,) = (line for line in shipped.ended.stderr.splitlines() if f"{layer['digest']} (" in line)
        assert line.endswith("present")
    first = next(each for each in shipped.project.report("toy")["artifacts"] if each["component"] == "first")
    assert first["key"] in {each["key"] for each in shipped.compiled["artifacts"]}


def test_plan_and_explain_tell_the_machines(shipped: Shipped) -> None:
    reference = f"{shipped.name}:v1"
    plan = run_json(shipped.project, "--model", "toy", "--plan", "--push", reference, PREBAKE_CACHE=shipped.cache)
    machines = {each["component"]: each["requires"]["processor"] for each in plan["artifacts"]}
    assert machines == {"first": describe_cpu(), "second": ANOTHER}
    words = ("explain", "--model", "toy", "--base", "bootstrap", "--registry", reference)
    told = shipped.project.run(*words, PREBAKE_CACHE=shipped.cache, COLUMNS="200").expect(0).stdout
    assert f"processor {ANOTHER}" in told
    (row,) = (line for line in told.splitlines() if line.startswith("  export.py "))
    layers = [f"{each['component']} native-{each['key'][:12]}" for each in plan["artifacts"]]
    assert row.endswith(f"; {', '.join(layers)} by `prebake compile`")
    for layer in layers:
        (row,) = (line for line in told.splitlines() if line.startswith(f"{layer} "))
        assert row.split()[-8:].count("c") == 3  # export.py, weights, precision
    alone = shipped.project.run("--model", "toy", "--plan", PREBAKE_CACHE=shipped.cache).expect(0).stdout
    assert "Compiled for machines" not in alone


def test_a_rendered_folder_has_them_from_the_registry(shipped: Shipped, tmp_path: Path) -> None:
    folder, store = tmp_path / "rendered", tmp_path / "cache"
    words = ("--model", "toy", "--render", str(folder), "--push", f"{shipped.name}:v1")
    shipped.project.run(*words, **NOWHERE, PREBAKE_CACHE=str(store)).expect(0)
    told = [ArtifactFile.from_json(path.read_bytes()) for path in sorted((folder / "artifacts").iterdir())]
    assert [each.machine.partition("processor ")[2] for each in told] == [describe_cpu(), ANOTHER]
    sizes = {path: file["size"] for each in told for path, file in each.files.items()}
    trees = [line.split()[2] for line in (folder / "Dockerfile").read_text().splitlines() if " compiled/" in line]
    held = [path for tree in trees for path in (folder / tree / "models").rglob("*") if path.is_file()]
    assert {path.relative_to(path.parents[3]).as_posix(): path.stat().st_size for path in held} == sizes
    assert len(trees) == 2


def test_the_pushed_image_is_verified_with_them(shipped: Shipped) -> None:
    words = ("verify", f"{shipped.name}:v1", "--model", "toy")
    verified = run_json(shipped.project, *words, PREBAKE_CACHE=shipped.cache)
    assert sum("native-" in layer["name"] for layer in verified["layers"]) == 2


def test_a_machine_without_an_engine_compiles_by_its_own_python(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "toy", variables={**NOWHERE, "PREBAKE_CACHE": str(tmp_path / "cache")})
    words = ("compile", "--no-engine", "--model", "toy", "--keep-all")
    told = run_json(project, *words)["artifacts"]
    plan = run_json(project, "--model", "toy", "--plan")
    assert {each["key"] for each in plan["artifacts"]} == {each["key"] for each in told}
    project.run("bake-file", str(tmp_path / "fleet"), "--model", "toy").expect(0)
    described = sorted((tmp_path / "fleet/toy-cpu/artifacts").iterdir())
    assert [ArtifactFile.from_json(each.read_bytes()).key for each in described] == [
        each["key"] for each in plan["artifacts"]
    ]
    ended = project.run("--model", "toy", "--plan").expect(0)
    assert f"(native) for onnxruntime {plan['artifacts'][0]['requires']['onnxruntime']}" in ended.stdout


def test_a_plan_for_a_gpu_tells_how_its_engines_are_made(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "foley", variables={**NOWHERE, "PREBAKE_CACHE": str(tmp_path / "cache")})
    ended = project.run("--model", "foley", "--target", "tensorrt", "--plan").expect(0)
    assert "`prebake compile --model foley --target tensorrt --checkpoint sample --push REF`" in ended.stdout
