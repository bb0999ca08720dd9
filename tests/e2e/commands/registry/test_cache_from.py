"""``--cache-from``: layers of a repository that the build does not push to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from tests.support.commands.projects import Project, change_weights, clone, reach
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.server import served

WEIGHTS_LAYER = "first/model.safetensors"
STAGES = {"stage image", "export", "compile"}


@dataclass(frozen=True)
class Origin:
    """An image that another clone built and pushed, with the session's store; the Engine does not have its weights."""

    front: Front
    seed: int
    report: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.front.address}/models/toy"

    def digest(self, layer: str) -> str:
        return str(next(each["digest"] for each in self.report["layers"] if each["name"] == layer))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def origin(engine: Connection, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    folder, front = tmp_path_factory.mktemp("origin"), Front(registry)
    seed = hash(folder) & 0xFFFF
    with served(front):
        project = make_clone(engine, folder / "project", seed)
        place = f"registry:{front.address}/models/toy:main"
        project.run("toy", "--tag", "toy:origin", "--output", place).expect(0)
        yield Origin(front, seed, project.report("toy"))


@pytest.fixture
def fresh(engine: Connection, origin: Origin, tmp_path: Path) -> Iterator[Project]:
    """A clone of the same revision with an empty store; the registry in front of it has seen nothing and has no faults."""
    origin.front.seen.clear()
    project = make_clone(engine, tmp_path / "project", origin.seed)
    yield Project(project.root, {**project.variables, "PREBAKE_CACHE": str(tmp_path / "cache")})
    origin.front.faults.clear()


def make_clone(engine: Connection, root: Path, seed: int) -> Project:
    project = clone(root, "toy", variables=reach(engine))
    change_weights(project, seed)
    return project


def steps_that_ran(report: dict[str, Any]) -> set[str]:
    return {step["name"] for step in report["pipeline"] if step["state"] == "run"}


def written(front: Front) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in front.seen if seen.method not in ("GET", "HEAD")]


def test_a_fresh_clone_reuses_the_layers_and_writes_nothing_there(
    engine: Connection, origin: Origin, fresh: Project, tag: str
) -> None:
    words = ("toy", "--tag", tag, "--cache-from", f"{origin.name}:main")
    planned = fresh.run(*words, "--plan").expect(0).stdout
    assert f"{origin.name}:main, read only" in planned
    fresh.run(*words).expect(0)
    report = fresh.report("toy")
    assert report["digest"] == origin.report["digest"] == inspect_image(engine, tag).digest
    assert not {step for step in steps_that_ran(report) if step in STAGES or step.startswith("layer ")}
    assert origin.front.requests("GET", f"blobs/{origin.digest(WEIGHTS_LAYER)}")
    assert origin.front.requests("GET", f"blobs/{origin.digest('graphs')}")
    assert not written(origin.front)
    assert "warning" not in fresh.run(*words, "--plan").expect(0).stderr


def test_a_layer_that_is_not_its_digest_is_made_again(origin: Origin, fresh: Project, tag: str) -> None:
    digest = origin.digest(WEIGHTS_LAYER)
    origin.front.faults.append(Fault("GET", f"blobs/{digest}", corrupt=True, times=99))
    ended = fresh.run("toy", "--tag", tag, "--cache-from", origin.name).expect(0)
    assert f"{origin.name}: warning: it is left out of the caches" in ended.stderr
    assert fresh.report("toy")["digest"] == origin.report["digest"]
    assert f"layer {WEIGHTS_LAYER}" in steps_that_ran(fresh.report("toy"))
    assert not written(origin.front)


def test_a_push_to_another_repository_of_the_registry_mounts_the_layers(
    origin: Origin, fresh: Project, tag: str
) -> None:
    place = f"registry:{origin.front.address}/pulls/toy:1"
    fresh.run("toy", "--tag", tag, "--output", place, "--cache-from", origin.name).expect(0)
    report = fresh.report("toy")
    assert report["outputs"][place]["name"] == f"{origin.front.address}/pulls/toy@{origin.report['digest']}"
    assert not [line for line in written(origin.front) if f"/v2/{origin.name.partition('/')[2]}/" in line]
    assert origin.front.requests("POST", f"mount={origin.digest(WEIGHTS_LAYER)}")
    assert not origin.front.requests("GET", f"blobs/{origin.digest(WEIGHTS_LAYER)}")


def test_a_cache_without_access_and_one_out_of_reach_are_warnings(origin: Origin, fresh: Project, tag: str) -> None:
    origin.front.faults.append(Fault("GET", "/v2/", status=403, times=999))
    words = ("--cache-from", origin.name, "--cache-from", "127.0.0.1:1/models/toy")
    ended = fresh.run("toy", "--tag", tag, "--plan", *words).expect(0)
    for name in (origin.name, "127.0.0.1:1/models/toy"):
        assert ended.stderr.count(f"{name}: warning: it is left out of the caches") == 1
    assert "run" in ended.stdout


def test_a_reference_that_is_none_is_refused(fresh: Project) -> None:
    assert "'a b' is not an image reference" in fresh.run("toy", "--cache-from", "a b").expect(10).stderr
