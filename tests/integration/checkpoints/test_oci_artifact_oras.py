"""Artifacts as ORAS, KitOps, ModelPack, Docker Model Runner and Ollama push them: which layer is a file, and which a tar."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
import zstandard

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.oci_artifact import OciArtifact
from prebake.checkpoints.store.store import Store
from prebake.errors import SourceError
from prebake.oci.blobs.blobs import GZIP, LAYER, ZSTD, Blob, data_blob, read_all
from prebake.oci.registry.artifacts import RegistryArtifacts
from prebake.spec.image.sources import FromOci
from tests.support.checkpoints.parts import Diary, named, sha256, some_bytes
from tests.support.checkpoints.shelf import FILEPATH, QUICK, Shelf, checkpoint, lock, sources
from tests.support.registries.oci_images import tar_layer

TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
NAME = "net.safetensors"
_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [100_000], "data_offsets": [0, 400_000]}}).encode()
FILE = len(_HEADER).to_bytes(8, "little") + _HEADER + some_bytes(400_000)


def packed(path: str = NAME) -> bytes:
    return read_all(tar_layer({path: FILE}))


def read(shelf: Shelf, store: Store, layer: Blob, file: str = NAME) -> bytes:
    """The file's bytes, locked and then fetched into an empty store."""
    shelf.push("tag", [layer])
    files = lock(store, checkpoint(f"{shelf.name}:tag", file))
    other = Store(store.root / "other")
    fetch(files, other, sources(), Diary())
    return other.place(files[0].sha256).read_bytes()


def listed(shelf: Shelf) -> list[str]:
    spec = named(FromOci, "oci", reference=f"{shelf.name}:tag", files=("any",))
    return OciArtifact(RegistryArtifacts(QUICK)).names(spec)


@pytest.mark.parametrize("media_type", [LAYER, GZIP, ZSTD, "application/octet-stream", "application/x-tar"])
@pytest.mark.parametrize("title", [NAME, f"./{NAME}", f"/{NAME}"])
def test_a_titled_layer_is_the_file_whatever_its_media_type(
    shelf: Shelf, store: Store, media_type: str, title: str
) -> None:
    assert read(shelf, store, data_blob(media_type, FILE, {TITLE: title})) == FILE
    assert listed(shelf) == [NAME]


@pytest.mark.parametrize(
    "data", [b"", b"tiny", bytes(2000), gzip.compress(FILE), zstandard.compress(FILE)],
    ids=["empty", "short", "zeros", "gzip", "zstd"],
)  # fmt: skip
def test_bytes_that_are_no_tar_are_taken_as_they_are(shelf: Shelf, store: Store, data: bytes) -> None:
    assert read(shelf, store, data_blob(LAYER, data, {TITLE: NAME})) == data


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("media_type", [LAYER, GZIP, "application/vnd.kitops.modelkit.model.v1.tar+gzip"])
@pytest.mark.parametrize("annotation", [TITLE, FILEPATH])
def test_a_titled_layer_that_is_a_tar_is_read_through(
    shelf: Shelf, store: Store, pack: Callable[[bytes], bytes], media_type: str, annotation: str
) -> None:
    layer = data_blob(media_type, pack(packed()), {annotation: NAME})
    assert read(shelf, store, layer) == FILE
    with pytest.raises(SourceError, match="in tars"):
        listed(shelf)


@pytest.mark.parametrize("media_type", [GZIP, "application/vnd.mine.weights"])
def test_a_folder_that_oras_packed_is_read_through(shelf: Shelf, store: Store, media_type: str) -> None:
    notes = {TITLE: "weights", UNPACK: "true"}
    layer = data_blob(media_type, gzip.compress(packed(f"weights/{NAME}")), notes)
    assert read(shelf, store, layer, f"weights/{NAME}") == FILE


@pytest.mark.parametrize(("name", "data"), [("net.tar", packed()), ("net.tar.gz", gzip.compress(packed()))])
def test_an_archive_is_a_file_when_it_is_asked_for_by_its_own_name(
    shelf: Shelf, store: Store, name: str, data: bytes
) -> None:
    layer = data_blob(LAYER, data, {TITLE: name})
    assert read(shelf, store, layer, name) == data
    assert read(shelf, Store(store.root / "inside"), layer) == FILE


def test_only_layers_that_are_asked_for_are_looked_into(shelf: Shelf, store: Store) -> None:
    layers = [data_blob(LAYER, FILE, {TITLE: NAME}), data_blob(LAYER, some_bytes(500_000), {TITLE: "other.bin"})]
    digest = shelf.push("two", layers)
    (file,) = lock(store, checkpoint(f"{shelf.name}:two", NAME))
    assert (file.revision, file.locator, file.sha256) == (digest, f"sha256:{sha256(FILE)}", sha256(FILE))
    assert shelf.blob_ranges(layers[1].digest) == []


def test_layers_without_names_are_told_by_what_they_are(shelf: Shelf, store: Store) -> None:
    shelf.push("tag", [data_blob("application/vnd.ollama.image.model", FILE)])
    with pytest.raises(SourceError, match=r"one without a name \(application/vnd.ollama.image.model\)"):
        listed(shelf)
    with pytest.raises(SourceError, match=r"has no file model.gguf; its layers: one without a name"):
        lock(store, checkpoint(f"{shelf.name}:tag", "model.gguf"))
