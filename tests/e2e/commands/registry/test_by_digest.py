"""``--by-digest``: the image is at the registry, and no tag names it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.oci.records.registry_records import record_tag
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from tests.support.commands.projects import Built
from tests.support.registries.registry import running_registry

BILL, STATEMENT = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with (
        running_registry(tmp_path) as address,
        closing(Repository(parse_reference(f"{address}/models/toy"))) as found,
    ):
        yield found


def image_tags(repository: Repository, image: str) -> list[str]:
    """The tags that a client would take for an image's: all but those of layer records, which --cache-from reads, and the list of
    the image's referrers, which clients keep at a registry without the API."""
    tags = list(json.loads(repository.read("tags/list", (200,), 1 << 20).body)["tags"])
    assert any(tag.startswith(record_tag("")) for tag in tags)
    return [tag for tag in tags if not tag.startswith(record_tag("")) and tag != image.replace(":", "-")]


def test_no_tag_names_an_image_that_is_pushed_by_digest(toy: Built, repository: Repository) -> None:
    name = repository.reference.name
    words = ("toy", "--tag", toy.tag, "--output", f"registry:{name}", "--by-digest", "--require-attestations")
    ended = toy.project.run(*words).expect(0)
    report = toy.project.report("toy")
    digest = report["digest"]
    assert f"pushed  {name}@{digest}" in ended.stdout
    assert report["outputs"][f"registry:{name}"]["name"] == report["pushed"][name] == f"{name}@{digest}"
    assert repository.resolve(digest) == digest
    assert {each.artifact_type for each in list_referrers(repository, digest)} == {BILL, STATEMENT}
    assert not image_tags(repository, digest)
    deployed = toy.project.run("deploy", "toy").expect(0).stdout
    assert f"{name}@{digest}" in deployed
    toy.project.run("verify", f"{name}@{digest}", "toy").expect(0)


def test_a_weights_image_has_no_tag_either(toy: Built, repository: Repository) -> None:
    name = repository.reference.name
    words = ("toy", "--tag", toy.tag, "--output", f"registry:{name}", "--by-digest", "--weights", "volume")
    toy.project.run(*words).expect(0)
    report = toy.project.report("toy")
    volume = report["volume"]["digest"]
    assert repository.resolve(volume) == volume
    assert repository.resolve(report["digest"]) == report["digest"]
    assert not image_tags(repository, report["digest"])
    assert f"{name}@{volume}" in toy.project.run("deploy", "toy").expect(0).stdout
