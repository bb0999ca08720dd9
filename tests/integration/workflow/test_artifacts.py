"""Artifacts on their way into an image: damage is found by digest, and what was made of something else is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.weights.digests import compute_digests
from prebake.checkpoints.store.store import Store
from prebake.documents.artifact import ARTIFACT_FILE, ArtifactFile, make_label
from prebake.documents.canonical import canonical_json, digest_json
from prebake.documents.manifest.validation import seal_manifest
from prebake.oci.blobs.blobs import Descriptor
from prebake.oci.layers.layer_reader import LayerContents
from prebake.oci.records.layer_records import FileRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.workflow.compile import ArtifactPublisher
from prebake.workflow.layers.artifact_lookup import ArtifactFinder, read_artifact
from prebake.workflow.layers.artifacts import list_artifacts
from prebake.workflow.layers.cache_lookup import BuildCache
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.layers.remote_image import RemoteImage
from prebake.workflow.pipeline.resolution import LeftOut, stale_artifacts
from tests.support.manifests import make_artifact, make_manifest
from tests.support.registries.registry import running_registry

LOOKUP = "ab" * 32
OF = {"graph": "1", "constants": None, "weights": {"net/w": "2"}, "precision": {"type": "fp32"}, "bake": "3"}


@dataclass(frozen=True)
class Machine:
    """A store of its own, and what it said."""

    root: Path
    repositories: tuple[Repository, ...] = ()
    said: list[str] = field(default_factory=list)

    @property
    def layers(self) -> LayerStore:
        store = Store(self.root)
        return LayerStore(store, BuildCache(Records(store.root), self.repositories))

    def find(self, **options: bool) -> list[ArtifactFile]:
        return [each.artifact for each in ArtifactFinder(self.layers, self.said.append, **options).find(LOOKUP)]

    def keep(self, content: bytes = b"engine" * 50) -> ArtifactFile:
        """An artifact as the stage leaves it."""
        key = digest_json(OF)
        home = f"compiled/net/{make_label('native', key)}"
        contents = {f"{home}/model.onnx": b"graph", f"{home}/model.engine": content}
        entry = make_artifact(graph=f"{home}/model.onnx", key=key, key_inputs=OF)
        files = {
            path: {"size": len(data), **compute_digests(data)._asdict(), "origin": "compiled"}
            for path, data in contents.items()
        }
        artifact = ArtifactFile("net", entry, files)
        contents |= {f"{home}/{ARTIFACT_FILE}": artifact.to_json(), "report.json": canonical_json({"artifacts": []})}
        ArtifactPublisher(self.layers, self.repositories, self.said.append).keep_under(LOOKUP, self.stored(contents))
        return artifact

    def stored(self, contents: dict[str, bytes]) -> list[FileRecord]:
        found = []
        for path, data in contents.items():
            stored = self.layers.store.add_stream([data], sha256=None, name=path, origin="a test")
            found.append(FileRecord(path, stored.sha256, stored.size))
        return found

    def place(self, artifact: ArtifactFile, name: str) -> Path:
        (file,) = (file for path, file in artifact.files.items() if path.endswith(name))
        return Store(self.root).place(str(file["sha256"]))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "store")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with running_registry(tmp_path) as address, closing(Repository(parse_reference(f"{address}/a/b"))) as found:
        yield found


def change(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    change(path, bytes(content))


def test_what_is_whole_is_found(machine: Machine) -> None:
    artifact = machine.keep()
    assert machine.find() == [artifact]
    assert machine.said == []


def test_a_flipped_bit_in_the_store_is_found_by_digest(machine: Machine) -> None:
    artifact = machine.keep()
    flip(machine.place(artifact, "model.engine"))
    assert machine.find(drop_damaged=False) == []
    assert machine.place(artifact, "model.engine").exists()
    assert machine.find() == []
    assert not machine.place(artifact, "model.engine").exists()
    assert "model.engine has the sha256" in machine.said[-1]
    assert machine.keep() == artifact
    assert machine.find() == [artifact]


def test_a_truncated_object_in_the_store_is_left_out(machine: Machine) -> None:
    artifact = machine.keep()
    place = machine.place(artifact, "model.engine")
    change(place, place.read_bytes()[:-1])
    assert machine.find() == []
    assert "model.engine has 299 bytes, not 300" in machine.said[-1]


def test_a_damaged_description_is_left_out(machine: Machine) -> None:
    artifact = machine.keep()
    flip(Store(machine.root).place(compute_digests(artifact.to_json()).sha256))
    assert machine.find() == []
    assert f"{ARTIFACT_FILE} has the sha256" in machine.said[-1]


def test_what_is_damaged_here_is_taken_from_the_registry(tmp_path: Path, repository: Repository) -> None:
    machine = Machine(tmp_path / "store", (repository,))
    artifact = machine.keep()
    flip(machine.place(artifact, "model.engine"))
    (found,) = ArtifactFinder(machine.layers, machine.said.append).find(LOOKUP)
    assert found.artifact == artifact
    assert found.layer is not None


def test_bytes_are_brought_where_they_are_needed_here(tmp_path: Path, repository: Repository) -> None:
    artifact = Machine(tmp_path / "one", (repository,)).keep()
    other = Machine(tmp_path / "other", (repository,))
    assert other.find(download=True) == [artifact]
    assert other.place(artifact, "model.engine").read_bytes() == b"engine" * 50


def test_a_flipped_bit_at_the_registry_is_found_before_the_bytes_are_used(
    tmp_path: Path, repository: Repository
) -> None:
    one = Machine(tmp_path / "one", (repository,))
    artifact = one.keep(bytes(range(256)) * 8)
    (found,) = ArtifactFinder(Machine(tmp_path / "third", (repository,)).layers, print).find(LOOKUP)
    assert found.layer is not None
    (blob,) = tmp_path.glob(f"blobs/**/{found.layer.digest.removeprefix('sha256:')}/data")
    flip(blob)
    other = Machine(tmp_path / "other", (repository,))
    assert other.find(download=True) == []
    assert "some artifacts of" in other.said[-1]
    assert one.find() == [artifact]


def compiled(machine: Machine, **changed: Any) -> list[FileRecord]:
    """What the compile stage left, of these key fields."""
    manifest = make_manifest({"net": {"key_inputs": {**OF, **changed}}})
    return machine.stored({"models/manifest.json": seal_manifest(manifest)})


def test_one_made_of_another_weight_is_not_put_beside_these(machine: Machine) -> None:
    artifact, layers = machine.keep(), machine.layers
    assert list(stale_artifacts(compiled(machine), [artifact], layers)) == []
    other = compiled(machine, weights={"net/w": "another"})
    assert list(stale_artifacts(other, [artifact], layers)) == [LeftOut(artifact, ("weights",))]


def test_the_manifest_that_tells_of_them_is_an_object_of_its_own(machine: Machine) -> None:
    artifact, before = machine.keep(), tuple(compiled(machine))
    (after,) = list_artifacts(before, [artifact], machine.layers.store)
    assert after != before[0]
    document = json.loads(Store(machine.root).place(after.sha256).read_bytes())
    assert document["components"]["net"]["artifacts"] == [artifact.entry]
    assert document["files"].items() >= artifact.files.items()
    assert list_artifacts(before, [], machine.layers.store) == before


def test_an_artifact_of_an_older_prebake_is_left_out_and_said(machine: Machine) -> None:
    newer = json.loads(machine.keep().to_json())
    older = canonical_json({**newer, "schema": newer["schema"] - 1})
    assert read_artifact(older, None, machine.said.append) is None
    assert machine.said[-1].startswith(
        "artifact: artifact.json is not used: artifact.json was written by an older Prebake"
    )
    assert machine.said[-1].endswith("run `prebake compile` again")


def with_file(path: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    """Change the description: a file more, with these fields."""

    def change_files(document: dict[str, Any]) -> None:
        first = next(iter(document["files"].values()))
        home = next(iter(document["files"])).rpartition("/")[0]
        document["files"][f"{home}/{path}"] = {**first, **fields}

    return change_files


HOSTILE: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (with_file("x", size=float("inf")), "x.size: should be a whole number"),
    (with_file("x", size="3"), "x.size: should be a whole number"),
    (with_file("x", sha256="../../x"), "x.sha256: should be a sha256"),
    (with_file("../../../x"), "should be a relative path without"),
    (with_file("x", mode=3), "x.mode: is not known"),
    (lambda document: document.update(extra=1), "has unknown keys: extra"),
    (lambda document: document.update(files=[]), "files: should be an object"),
    (lambda document: document.update(component=[]), "component: should be a string"),
    (lambda document: document.update(artifact=None), "lacks"),
    (lambda document: document["artifact"].update(extra=1), "artifact.extra: is not known"),
    (lambda document: document["artifact"].update(choice={"baseline": 1}), "lacks"),
    (lambda document: document["artifact"].update(key_inputs=json.loads("[" * 99 + "]" * 99)), "nested too deeply"),
]


@pytest.mark.parametrize(("alter", "why"), HOSTILE)
def test_a_description_that_no_prebake_writes_is_left_out_and_logged(
    machine: Machine, alter: Callable[[dict[str, Any]], None], why: str
) -> None:
    document = json.loads(machine.keep().to_json())
    alter(document)
    assert read_artifact(json.dumps(document).encode(), None, machine.said.append) is None
    assert machine.said[-1].startswith("artifact: artifact.json is not used: ")
    assert why in machine.said[-1]


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"schema": ' * 100_000, b"\xff", b"[]", b'{"schema": 1e999}'])
def test_bytes_that_are_no_description_are_left_out_and_logged(machine: Machine, text: bytes) -> None:
    assert read_artifact(text, None, machine.said.append) is None
    assert machine.said[-1].startswith("artifact: artifact.json is not used: ")


def test_a_manifest_in_an_image_that_is_nested_deeply_counts_for_none() -> None:
    layer = LayerContents(Descriptor("", "sha256:0", 0), kept=b"[" * 100_000)
    assert RemoteImage("sha256:0", {}, (layer,)).manifest == {}
