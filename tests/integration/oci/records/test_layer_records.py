"""What keys became, kept beside the store and at registries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from prebake.oci.blobs.blobs import LAYER, data_blob
from prebake.oci.records.layer_records import FileRecord, LayerRecord, Records
from prebake.oci.records.registry_records import look_up, publish, record_tag
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.registries.registry import running_registry

KEY = "ab" * 32
FILES = (FileRecord("models/net/weights", "c" * 64, 7), FileRecord("models/vocab", "d" * 64, 0))


def layer(digest: str, size: int) -> LayerRecord:
    return LayerRecord("sha256:" + "1" * 64, LAYER, digest, size, "asked for", 9, FILES, ("models/net",))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with running_registry(tmp_path) as address, closing(Repository(parse_reference(f"{address}/a/b"))) as found:
        yield found


def test_what_is_put_is_found_by_another_process(tmp_path: Path) -> None:
    layers = (layer("sha256:" + "2" * 64, 10), layer("sha256:" + "3" * 64, 11))
    Records(tmp_path).put_layers(KEY, layers)
    Records(tmp_path).put_files("cd" * 32, FILES)
    assert Records(tmp_path).layers(KEY) == layers
    assert Records(tmp_path).files("cd" * 32) == FILES
    assert Records(tmp_path).layers("ef" * 32) is None
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99, "layers": []}', "[]"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    Records(tmp_path).put_layers(KEY, ())
    (path,) = tmp_path.rglob("*.json")
    path.write_text(text)
    assert Records(tmp_path).layers(KEY) is None


def test_a_registry_remembers_what_another_machine_can_use(repository: Repository) -> None:
    blob = data_blob(LAYER, b"a layer")
    repository.push(blob)
    assert look_up(repository, KEY) is None
    publish(repository, KEY, [layer(blob.digest, blob.size)])
    publish(repository, KEY, [layer(blob.digest, blob.size)])
    found = look_up(repository, KEY)
    assert found is not None
    assert [(each.digest, each.size, each.diff_id, each.unpacked, each.reason) for each in found] == [
        (blob.digest, blob.size, "sha256:" + "1" * 64, 9, "asked for")
    ]


def test_another_artifact_under_that_tag_is_not_taken_for_one(repository: Repository) -> None:
    config = data_blob("application/vnd.oci.empty.v1+json", b"{}")
    repository.push(config)
    manifest = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[]}'
    body = manifest % json.dumps(config.descriptor.document()).encode()
    repository.put_manifest(record_tag(KEY), "application/vnd.oci.image.manifest.v1+json", body)
    assert look_up(repository, KEY) is None


def test_processes_that_add_to_a_list_lose_nothing(tmp_path: Path) -> None:
    def add(number: int) -> None:
        for part in range(4):
            file = FileRecord("artifact.json", f"{number * 4 + part:064x}", 1)
            Records(tmp_path).list_files(KEY, f"{number * 4 + part:064x}", (file,))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))
    records = Records(tmp_path)
    assert len(records.listed(KEY)) == 24
    assert records.keys() == [KEY]
    assert records.objects(KEY) == {f"{number:064x}" for number in range(24)}
    assert records.listed("cd" * 32) == {}
