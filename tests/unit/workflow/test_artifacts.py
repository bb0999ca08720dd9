"""Artifacts on their way into an image: damage is found by digest, and what was made of something else is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.artifact_file import NAME, ArtifactFile, label_of
from prebake.bake.digests import digests_of_bytes
from prebake.bake.documents import canonical_json, digest_json
from prebake.checkpoints.store import Store
from prebake.oci.records import FileRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.workflow.artifact_finder import Finder
from prebake.workflow.artifacts import other_artifacts, tell_artifacts
from prebake.workflow.compiling import Shelf
from prebake.workflow.library import Library
from prebake.workflow.parts import Parts
from tests.registry import running_registry

LOOKUP = "ab" * 32
OF = {"graph": "1", "constants": None, "weights": {"net/w": "2"}, "precision": {"type": "fp32"}, "bake": "3"}


@dataclass(frozen=True)
class Machine:
    """A store of its own, and what it said."""

    root: Path
    repositories: tuple[Repository, ...] = ()
    said: list[str] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        store = Store(self.root)
        return Parts(store, Library(Records(store.root), self.repositories))

    def find(self, **options: bool) -> list[ArtifactFile]:
        return [each.artifact for each in Finder(self.parts, self.said.append, **options).find(LOOKUP)]

    def keep(self, content: bytes = b"engine" * 50) -> ArtifactFile:
        """An artifact as the stage leaves it."""
        key = digest_json(OF)
        home = f"compiled/net/{label_of('native', key)}"
        contents = {f"{home}/model.onnx": b"graph", f"{home}/model.engine": content}
        entry = {"rung": "native", "graph": f"{home}/model.onnx", "fields": {"processor": "x"}, "key": key}
        files = {
            path: {"size": len(data), **digests_of_bytes(data)._asdict(), "origin": "compiled"}
            for path, data in contents.items()
        }
        artifact = ArtifactFile("net", {**entry, "key_fields": OF}, files)
        contents |= {f"{home}/{NAME}": artifact.to_json(), "report.json": canonical_json({"artifacts": []})}
        Shelf(self.parts, self.repositories, self.said.append).keep_under(LOOKUP, self.stored(contents))
        return artifact

    def stored(self, contents: dict[str, bytes]) -> list[FileRecord]:
        found = []
        for path, data in contents.items():
            stored = self.parts.store.add_stream([data], sha256=None, name=path, origin="a test")
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
    assert machine.find(mend=False) == []
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
    flip(Store(machine.root).place(digests_of_bytes(artifact.to_json()).sha256))
    assert machine.find() == []
    assert f"{NAME} has the sha256" in machine.said[-1]


def test_what_is_damaged_here_is_taken_from_the_registry(tmp_path: Path, repository: Repository) -> None:
    machine = Machine(tmp_path / "store", (repository,))
    artifact = machine.keep()
    flip(machine.place(artifact, "model.engine"))
    (found,) = Finder(machine.parts, machine.said.append).find(LOOKUP)
    assert found.artifact == artifact
    assert found.layer is not None


def test_bytes_are_brought_where_they_are_needed_here(tmp_path: Path, repository: Repository) -> None:
    artifact = Machine(tmp_path / "one", (repository,)).keep()
    other = Machine(tmp_path / "other", (repository,))
    assert other.find(bring=True) == [artifact]
    assert other.place(artifact, "model.engine").read_bytes() == b"engine" * 50


def test_a_flipped_bit_at_the_registry_is_found_before_the_bytes_are_used(
    tmp_path: Path, repository: Repository
) -> None:
    one = Machine(tmp_path / "one", (repository,))
    artifact = one.keep(bytes(range(256)) * 8)
    (found,) = Finder(Machine(tmp_path / "third", (repository,)).parts, print).find(LOOKUP)
    assert found.layer is not None
    (blob,) = tmp_path.glob(f"blobs/**/{found.layer.digest.removeprefix('sha256:')}/data")
    flip(blob)
    other = Machine(tmp_path / "other", (repository,))
    assert other.find(bring=True) == []
    assert "not all of" in other.said[-1]
    assert one.find() == [artifact]


def compiled(machine: Machine, **changed: Any) -> list[FileRecord]:
    """What the compile stage left, of these key fields."""
    component = {"graph": "net/model.onnx", "key_fields": {**OF, **changed}}
    return machine.stored({"models/manifest.json": canonical_json({"components": {"net": component}, "files": {}})})


def test_one_made_of_another_weight_is_not_put_beside_these(machine: Machine) -> None:
    artifact, store = machine.keep(), machine.parts.store
    assert other_artifacts(compiled(machine), [artifact], store, machine.said.append) == frozenset()
    other = compiled(machine, weights={"net/w": "another"})
    assert other_artifacts(other, [artifact], store, machine.said.append) == {artifact.key}
    assert machine.said[-1].endswith("is left out: made of another weights")


def test_the_manifest_that_tells_of_them_is_an_object_of_its_own(machine: Machine) -> None:
    artifact, before = machine.keep(), tuple(compiled(machine))
    (after,) = tell_artifacts(before, [artifact], machine.parts.store)
    assert after != before[0]
    document = json.loads(Store(machine.root).place(after.sha256).read_bytes())
    assert document["components"]["net"]["artifacts"] == [artifact.entry]
    assert document["files"] == artifact.files
    assert tell_artifacts(before, [], machine.parts.store) == before
