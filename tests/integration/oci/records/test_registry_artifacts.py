"""Artifacts at a real registry: under tags of their own, and damage found by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch, PrebakeError
from prebake.oci.blobs.blobs import LAYER, data_blob
from prebake.oci.records.layer_records import LayerRecord
from prebake.oci.records.registry_artifacts import artifact_tag, find_artifacts, publish_artifact
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.registries.registry import running_registry

LOOKUP = "ab" * 32


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address


@pytest.fixture
def repository(address: str) -> Iterator[Repository]:
    with closing(Repository(parse_reference(f"{address}/a/b"))) as found:
        yield found


def put(repository: Repository, name: str, lookup: str = LOOKUP) -> LayerRecord:
    blob = data_blob(LAYER, f"engine of {name}".encode() * 100)
    layer = LayerRecord(blob.digest, LAYER, blob.digest, blob.size, "asked for", blob.size)
    key = hashlib.sha256(name.encode()).hexdigest()
    publish_artifact(repository, lookup, key, f"about {name}".encode(), layer, blob)
    return layer


def damage(folder: Path, content: bytes, changed: bytes) -> None:
    """Change a blob where the registry keeps it."""
    digest = hashlib.sha256(content).hexdigest()
    (path,) = folder.glob(f"blobs/**/{digest}/data")
    path.write_bytes(changed)


def test_what_one_builder_puts_another_finds(repository: Repository) -> None:
    layers = {name: put(repository, name) for name in ("h100", "l4")}
    put(repository, "of another model", "cd" * 32)
    found = {each.description.decode(): each.layer for each in find_artifacts(repository, LOOKUP)}
    assert found == {f"about {name}": layer for name, layer in layers.items()}
    put(repository, "h100")
    assert len(list(find_artifacts(repository, LOOKUP))) == 2


def test_machines_that_put_theirs_at_once_lose_none(address: str) -> None:
    def machine(number: int) -> None:
        with closing(Repository(parse_reference(f"{address}/a/b"))) as repository:
            for part in range(3):
                put(repository, f"machine {number}, {part}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(machine, range(6)))
    with closing(Repository(parse_reference(f"{address}/a/b"))) as repository:
        assert len(list(find_artifacts(repository, LOOKUP))) == 18


def test_an_empty_repository_has_none(repository: Repository) -> None:
    assert list(find_artifacts(repository, LOOKUP)) == []


def test_a_tag_of_somebody_elses_is_passed_over(repository: Repository) -> None:
    put(repository, "h100")
    other = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    repository.put_manifest(artifact_tag(LOOKUP, "f" * 64), "application/vnd.oci.image.index.v1+json", other)
    assert [each.description for each in find_artifacts(repository, LOOKUP)] == [b"about h100"]


def test_a_truncated_layer_is_found_by_its_size(repository: Repository, tmp_path: Path) -> None:
    put(repository, "h100")
    content = b"engine of h100" * 100
    damage(tmp_path, content, content[:-1])
    with pytest.raises(ChecksumMismatch, match="has 1399 bytes instead of 1400"):
        list(find_artifacts(repository, LOOKUP))


def test_a_changed_description_is_found_by_its_digest(repository: Repository, tmp_path: Path) -> None:
    put(repository, "h100")
    damage(tmp_path, b"about h100", b"about h200")
    with pytest.raises(PrebakeError, match=hashlib.sha256(b"about h100").hexdigest()):
        list(find_artifacts(repository, LOOKUP))
