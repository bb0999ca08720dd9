"""OCI artifacts that lack what is asked for, or are damaged: told before a byte of them is used."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pytest
import zstandard

from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.oci_artifact import OciArtifact
from prebake.checkpoints.store.store import Store
from prebake.errors import SourceError
from prebake.io.log import Log
from prebake.oci.blobs.blobs import INDEX, data_blob
from prebake.oci.errors import RegistryError
from tests.support.checkpoints.parts import Diary
from tests.support.checkpoints.shelf import (
    FILEPATH,
    RAW,
    WEIGHTS,
    Shelf,
    checkpoint,
    lock,
    raw_layers,
    weights_image,
)


def test_what_an_artifact_does_not_hold(shelf: Shelf, store: Store) -> None:
    shelf.push("raw", raw_layers())
    shelf.push("tars", weights_image(packed=False))
    for tag in ("raw", "tars"):
        with pytest.raises(SourceError, match=r"has no file nothing, neither"):
            lock(store, checkpoint(f"{shelf.name}:{tag}", "nothing", "te/config.json", "neither"))
    with pytest.raises(SourceError, match="does not exist at its registry"):
        lock(store, checkpoint(f"{shelf.name}:v9"))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    shelf.repository.put_manifest("several", INDEX, json.dumps(index).encode())
    with pytest.raises(SourceError, match="is an index of several"):
        lock(store, checkpoint(f"{shelf.name}:several"))


def test_a_layer_that_is_no_tar_is_named(shelf: Shelf, store: Store) -> None:
    broken = data_blob("application/vnd.cncf.model.weight.v1.tar+gzip", b"no gzip at all")
    shelf.push("broken", [broken])
    with pytest.raises(RegistryError, match=rf"{broken.digest} cannot be unpacked"):
        lock(store, checkpoint(f"{shelf.name}:broken"))
    assert list((store.root / "temp").iterdir()) == []


def gzip_that_ends(data: bytes) -> bytes:
    return gzip.compress(data, 1)[:1_000_000]


def gzip_with_another_end(data: bytes) -> bytes:
    return gzip.compress(data, 1)[:-8] + bytes(8)


def gzip_spoiled(data: bytes) -> bytes:
    return gzip.compress(data[:1_000_000], 1) + b"neither the end nor another member"


def zstd_spoiled(data: bytes) -> bytes:
    packed = zstandard.compress(data)
    return packed[:1_000_000] + bytes(200_000) + packed[1_200_000:]


@pytest.mark.parametrize(
    ("form", "spoil"),
    [
        ("tar", lambda data: data[:1_000_000]),
        ("tar+gzip", gzip_that_ends),
        ("tar+gzip", gzip_with_another_end),
        ("tar+gzip", gzip_spoiled),
        ("tar+zstd", zstd_spoiled),
    ],
)
def test_damage_in_the_middle_of_a_file_is_told_like_that_of_a_header(
    shelf: Shelf, store: Store, form: str, spoil: Callable[[bytes], bytes]
) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("te/model.safetensors")
        info.size = len(WEIGHTS)
        tar.addfile(info, io.BytesIO(WEIGHTS))
    broken = data_blob(f"application/vnd.cncf.model.weight.v1.{form}", spoil(plain.getvalue()))
    shelf.push("broken", [broken])
    with pytest.raises(RegistryError, match=rf"{broken.digest} cannot be unpacked"):
        lock(store, checkpoint(f"{shelf.name}:broken", "te/model.safetensors"))
    assert list((store.root / "temp").iterdir()) == []


@dataclass(frozen=True)
class OneManifest:
    """Artifacts at a registry that takes every manifest, which ours does not."""

    layers: list[Any]

    def manifest(self, reference: str, digest: str | None = None) -> tuple[str, dict[str, Any]]:
        return f"sha256:{'0' * 64}", {"layers": self.layers}

    def blob(self, reference: str, layer: Any, offset: int, log: Log) -> Iterator[memoryview]:
        raise AssertionError("nothing is to be read")

    def is_tar(self, reference: str, layer: Any, log: Log) -> bool:
        raise AssertionError("nothing is to be read")

    def files(self, reference: str, layer: Any, log: Log) -> Iterator[tuple[str, int, IO[bytes]]]:
        raise AssertionError("nothing is to be read")


@pytest.mark.parametrize(
    "layer",
    [
        "no object",
        None,
        {"mediaType": RAW, "size": 3, "annotations": {FILEPATH: "te/config.json"}},
        {"mediaType": RAW, "digest": f"sha256:{'1' * 64}", "annotations": {FILEPATH: "te/config.json"}},
        {"mediaType": RAW, "digest": "x", "size": 3, "annotations": {FILEPATH: "te/config.json"}},
        {"mediaType": RAW, "digest": f"sha256:{'1' * 64}", "size": 3, "annotations": f"{FILEPATH}"},
    ],
)
def test_a_manifest_with_a_layer_that_is_no_descriptor_is_refused(store: Store, layer: object) -> None:
    with pytest.raises(SourceError, match=r"r.example/m:v1: its manifest has a layer without a sha256 digest"):
        resolve(checkpoint("r.example/m:v1"), store, {"oci": OciArtifact(OneManifest([layer]))}, Diary())
