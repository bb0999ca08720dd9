"""Registries that take the image and not what goes beside it: the build says so, and is done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from tests.support.commands.projects import Built, Ended
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.server import served

UNKNOWN = b'{"errors": [{"code": "MANIFEST_INVALID", "message": "unknown media type"}]}'
ALL = {"records of layers", "bill of materials", "provenance"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def front(registry: str) -> Iterator[Front]:
    front = Front(registry)
    with served(front):
        yield front


def push(toy: Built, name: str, *words: str) -> Ended:
    return toy.project.run("--model", "toy", "--tag", toy.tag, "--output", f"registry:{name}", *words)


def refused(toy: Built, name: str) -> dict[str, Any]:
    return dict(toy.project.report("toy")["outputs"][f"registry:{name}"]["refused"])


def digest_at(registry: str, name: str) -> str | None:
    with closing(Repository(parse_reference(f"{registry}/{name.partition('/')[2]}"))) as repository:
        return repository.resolve("v1")


def no_artifacts() -> list[Fault]:
    """GitLab and Quay refuse manifests whose media types they do not know."""
    return [Fault("PUT", f"manifests/{start}", status=400, data=UNKNOWN, times=99) for start in ("prebake-", "sha256:")]


def test_a_registry_that_refuses_artifacts_gets_the_image(toy: Built, registry: str, front: Front) -> None:
    front.faults += no_artifacts()
    name = f"{front.address}/refusing:v1"
    ended = push(toy, name).expect(0)
    assert digest_at(registry, name) == toy.project.report("toy")["digest"]
    assert set(refused(toy, name)) == ALL
    for what in ALL:
        assert f"accepted the image, but refused its {what}: {front.address}: PUT" in ended.stderr
        assert f"not taken by registry:{name}: {what}" in ended.stdout
    assert "unknown media type" in ended.stderr


def test_attestations_can_be_required(toy: Built, registry: str, front: Front) -> None:
    front.faults += no_artifacts()
    name = f"{front.address}/required:v1"
    ended = push(toy, name, "--require-attestations").expect(64)
    assert all(f"registry:{name}: {what}: " in ended.stderr for what in ALL)
    assert digest_at(registry, name) == toy.project.report("toy")["digest"], "the image is there all the same"
    front.faults.clear()
    push(toy, name, "--require-attestations").expect(0)
    assert refused(toy, name) == {}


def test_required_attestations_need_a_registry(toy: Built, tmp_path: Path) -> None:
    words = ("--model", "toy", "--tag", toy.tag, "--output", f"oci:{tmp_path / 'layout'}", "--require-attestations")
    assert "--require-attestations" in toy.project.run(*words).expect(16).stderr


def test_tags_that_cannot_be_rewritten_cost_what_needs_it(toy: Built, registry: str, front: Front) -> None:
    """Without the referrers API a second document has to rewrite the tag that lists the first."""
    front.immutable = True
    name = f"{front.address}/immutable:v1"
    ended = push(toy, name).expect(0)
    digest = digest_at(registry, name)
    assert digest == toy.project.report("toy")["digest"]
    assert set(refused(toy, name)) == {"provenance"}
    assert "immutable" in ended.stderr
    with closing(Repository(parse_reference(name))) as repository:
        assert digest is not None
        kinds = [each.artifact_type for each in list_referrers(repository, digest)]
    assert kinds == ["application/vnd.cyclonedx+json"]
    assert set(json.loads(push(toy, name, "--json").expect(0).stdout)["outputs"]) == {f"registry:{name}"}


def test_a_long_push_and_a_long_check_show_progress(toy: Built, front: Front) -> None:
    """A wait that the registry asks for makes them long."""
    busy = Fault("PUT", "/blobs/", status=429, headers={"Retry-After": "6"})
    front.faults.append(replace(busy, times=4))
    name = f"{front.address}/slow:v1"
    shown = r"^%s: \d+/\d+ layers, [\d.]+ \w+ of [\d.]+ MiB.*: [0-9a-f]{12}$"
    assert re.search(shown % "push", push(toy, name).expect(0).stderr, re.MULTILINE)
    layer = toy.project.report("toy")["layers"][1]["digest"]
    front.faults.append(replace(busy, method="GET", path=layer))
    ended = toy.project.run("verify", name, "--model", "toy").expect(0)
    assert re.search(shown % "verify", ended.stderr, re.MULTILINE)


def test_a_registry_that_lets_nobody_read_records_gets_the_image(toy: Built, registry: str, front: Front) -> None:
    front.faults.append(Fault("GET", "manifests/prebake-", status=400, data=UNKNOWN, times=99))
    name = f"{front.address}/unread:v1"
    empty = str(toy.project.root / "another-store")
    ended = toy.project.run(
        "--model", "toy", "--tag", toy.tag, "--output", f"registry:{name}", PREBAKE_CACHE=empty
    ).expect(0)
    assert ended.stderr.count("cannot be read") == 1
    assert digest_at(registry, name) is not None
