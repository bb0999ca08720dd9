"""Pushes by the command that cannot go on: killed, or out of room. Nothing is referenced, and the rerun ends right."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.commands.projects import Built, Project
from tests.support.disks import disk_of
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.server import served


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address


@pytest.fixture
def front(registry: str) -> Iterator[Front]:
    front = Front(registry)
    with served(front):
        yield front


def tag_of(name: str) -> str | None:
    with closing(Repository(parse_reference(name))) as repository:
        return repository.resolve("v1")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", path="/blobs/", stall=1000),
        Fault("PUT", path="/blobs/", stall=0),
        Fault("PUT", path="/manifests/v1", stall=10),
    ],
    ids=["while a blob is sent", "before a blob is sent", "before the manifest is there"],
)
def test_a_killed_push_refers_to_nothing_and_the_rerun_ends_right(
    toy: Built, registry: str, front: Front, fault: Fault
) -> None:
    front.faults.append(fault)
    words = ("--model", "toy", "--tag", toy.tag, "--output")
    with toy.project.started(*words, f"registry:{front.address}/toy:v1") as child:
        assert front.stalling.wait(60)
        child.process.kill()
        child.process.wait()
    front.release.set()
    name = f"{registry}/toy:v1"
    assert tag_of(name) is None
    toy.project.run(*words, f"registry:{name}").expect(0)
    assert tag_of(name) == toy.project.report("toy")["digest"]
    toy.project.run("verify", name, "--model", "toy").expect(0)


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds the base's layers, and the packages no more."""
    with disk_of("80m", tmp_path / "cache") as folder:
        yield folder


def test_no_room_to_make_a_layer(project: Project, tag: str, small_store: Path, tmp_path: Path) -> None:
    words = ("--model", "toy", "--tag", tag, "--output", f"oci:{tmp_path / 'layout'}")
    ended = project.run(*words, PREBAKE_CACHE=str(small_store)).expect(24)
    assert str(small_store) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "layout").exists()
    store = Store(small_store / "store")
    assert list(store.verify()) == []
    subprocess.run(["mount", "-o", "remount,size=2g", small_store], check=True)
    project.run(*words, PREBAKE_CACHE=str(small_store)).expect(0)
    assert list(store.verify()) == []
    assert not list((small_store / "store" / "temp").iterdir())
