"""OCI artifacts as a source, from a real registry that Prebake's own client pushed them to."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest
import zstandard

from prebake.checkpoints.artifact import Artifact
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.lock import resolve
from prebake.checkpoints.source import Sources
from prebake.checkpoints.store import Store
from prebake.errors import SourceError
from prebake.oci.artifacts import RegistryArtifacts
from prebake.oci.blobs import EMPTY, INDEX, MANIFEST, ZSTD, Blob, data_blob, document_blob, read_all
from prebake.oci.errors import RegistryError, RegistryUnreachable
from prebake.oci.push import push_image
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.patience import Patience
from prebake.plan.agreement import expect_files
from prebake.process import Narrator
from prebake.spec.image import Checkpoint, Licence
from prebake.spec.lock import LockedFile
from prebake.spec.sources import FromOci
from prebake.workflow.sources import open_sources
from tests.faults.servers.front import Fault, Front
from tests.faults.servers.server import served
from tests.oci_images import image_of, tar_layer
from tests.registry import running_registry
from tests.unit.checkpoints.parts import Diary, named, sha256, some_bytes

WEIGHTS = some_bytes(2_500_000)
CONFIG = b'{"hidden_size": 4}\n'
RAW = "application/vnd.cncf.model.weight.v1.raw"
FILEPATH = "org.cncf.model.filepath"
QUICK = Patience(attempts=3, first=0.01, longest=0.02, connect=20.0, read=20.0)


@dataclass(frozen=True)
class Shelf:
    """A repository of a real registry, and a front before it by which sources reach it."""

    front: Front
    repository: Repository

    @property
    def name(self) -> str:
        return f"{self.front.address}/models/m"

    def push(self, tag: str, layers: Sequence[Blob]) -> str:
        """An artifact of ModelPack's; its digest."""
        config = data_blob(EMPTY, b"{}")
        for blob in (config, *layers):
            self.repository.push(blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.cncf.model.manifest.v1+json",
            "config": config.descriptor.document(),
            "layers": [layer.descriptor.document() for layer in layers],
        }
        return self.repository.put_manifest(tag, MANIFEST, read_all(document_blob(MANIFEST, manifest)))

    def blob_ranges(self, digest: str) -> list[str | None]:
        return [seen.headers.get("range") for seen in self.front.requests("GET", f"blobs/{digest}")]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def shelf(registry: str) -> Iterator[Shelf]:
    front = Front(registry)
    with served(front), closing(Repository(parse_reference(f"{registry}/models/m"))) as repository:
        yield Shelf(front, repository)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def sources() -> Sources:
    return {"oci": Artifact(RegistryArtifacts(QUICK))}


def checkpoint(reference: str, *files: str) -> Checkpoint:
    names = files or ("te/model.safetensors", "te/config.json")
    spec = named(FromOci, "oci", reference=reference, files=names, ship=names[:1])
    return Checkpoint(licence=Licence(id="MIT"), sources=(spec,))


def lock(store: Store, asked: Checkpoint) -> tuple[LockedFile, ...]:
    return resolve(asked, store, sources(), Diary()).files


def raw_layers() -> list[Blob]:
    return [
        data_blob(RAW, WEIGHTS, {FILEPATH: "te/model.safetensors"}),
        data_blob("application/vnd.cncf.model.weight.config.v1.raw", CONFIG, {FILEPATH: "te/config.json"}),
    ]


def weights_image(*, packed: bool) -> list[Blob]:
    """Two layers, of which the upper one covers a file of the lower."""
    lower = tar_layer({"models/te/config.json": b"old", "models/te/model.safetensors": WEIGHTS})
    upper = tar_layer({"models/te/config.json": CONFIG, "models/other": b"x"})
    layers = [lower, upper]
    return [data_blob(ZSTD, zstandard.compress(read_all(layer))) for layer in layers] if packed else layers


def check(files: Sequence[LockedFile], store: Store) -> Diary:
    diary = Diary()
    fetch(files, store, sources(), diary)
    assert store.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS
    assert store.place(sha256(CONFIG)).read_bytes() == CONFIG
    return diary


def test_raw_layers_are_pinned_by_the_manifest_alone(shelf: Shelf, store: Store) -> None:
    digest = shelf.push("raw", raw_layers())
    config, weights = lock(store, checkpoint(f"{shelf.name}:raw"))
    assert (weights.path, weights.source) == ("te/model.safetensors", f"oci:{shelf.name}:raw")
    assert (weights.revision, weights.locator) == (digest, f"sha256:{sha256(WEIGHTS)}")
    assert (weights.size, weights.sha256, weights.ship) == (len(WEIGHTS), sha256(WEIGHTS), True)
    assert shelf.front.requests("GET", "blobs") == []
    expected = expect_files(checkpoint(f"{shelf.name}@{digest}"))["te/model.safetensors"]
    assert expected.revision == digest
    check([config, weights], store)


def test_layers_that_are_files_are_listed(shelf: Shelf) -> None:
    shelf.push("raw", raw_layers())
    shelf.push("packed", weights_image(packed=True))
    source = Artifact(RegistryArtifacts(QUICK))

    def listed(tag: str) -> list[str]:
        return source.names(named(FromOci, "oci", reference=f"{shelf.name}:{tag}", files=("any",)))

    assert listed("raw") == ["te/model.safetensors", "te/config.json"]
    with pytest.raises(SourceError, match="in tars"):
        listed("packed")


def test_a_cut_raw_layer_goes_on_where_it_broke(shelf: Shelf, store: Store) -> None:
    shelf.push("raw", raw_layers())
    files = lock(store, checkpoint(f"{shelf.name}:raw"))
    shelf.front.faults.append(Fault("GET", f"blobs/sha256:{sha256(WEIGHTS)}", truncate=1_000_000))
    diary = check(files, store)
    assert shelf.blob_ranges(f"sha256:{sha256(WEIGHTS)}") == [None, "bytes=1000000-"]
    (told,) = (text for name, text in diary.notes if name == "te/model.safetensors")
    assert "the connection broke" in told
    assert "trying again in" in told


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(shelf: Shelf, store: Store) -> None:
    shelf.push("raw", raw_layers())
    files = lock(store, checkpoint(f"{shelf.name}:raw"))
    blob = f"blobs/sha256:{sha256(WEIGHTS)}"
    shelf.front.faults += [Fault("GET", blob, truncate=1_000_000), Fault("GET", blob, status=503, times=9)]
    with pytest.raises((RegistryError, RegistryUnreachable)):
        fetch(files, store, sources(), Diary())
    shelf.front.faults.clear()
    check(files, store)
    assert shelf.blob_ranges(f"sha256:{sha256(WEIGHTS)}")[-1] == "bytes=1000000-"


@pytest.mark.parametrize("packed", [False, True])
def test_an_image_of_weights_is_read_through(shelf: Shelf, store: Store, tmp_path: Path, packed: bool) -> None:
    image = image_of(*weights_image(packed=packed))
    push_image(shelf.repository, image, "image")
    files = lock(store, checkpoint(f"{shelf.name}:image"))
    assert [(file.locator, file.sha256, file.revision) for file in files] == [
        ("te/config.json", sha256(CONFIG), image.digest),
        ("te/model.safetensors", sha256(WEIGHTS), image.digest),
    ]
    check(files, Store(tmp_path / "other"))


def test_a_cut_in_a_tar_goes_on_where_it_broke_and_is_told(shelf: Shelf, store: Store, tmp_path: Path) -> None:
    shelf.push("tars", weights_image(packed=False))
    files = lock(store, checkpoint(f"{shelf.name}:tars"))
    shelf.front.seen.clear()
    shelf.front.faults += [
        Fault("GET", "blobs/"),
        Fault("GET", "blobs/", truncate=1_000_000),
    ]  # upper, then lower layer
    diary = check(files, Store(tmp_path / "other"))
    assert "bytes=1000000-" in [seen.headers.get("range") for seen in shelf.front.requests("GET", "blobs/")]
    assert any("the connection broke" in text and "trying again in" in text for _, text in diary.notes)


def test_connections_are_let_go(shelf: Shelf, store: Store) -> None:
    shelf.push("raw", raw_layers())
    with closing(RegistryArtifacts(QUICK)) as artifacts:
        resolve(checkpoint(f"{shelf.name}:raw"), store, {"oci": Artifact(artifacts)}, Diary())
        (repository,) = artifacts._opened.values()
    with pytest.raises(RuntimeError, match="has been closed"):
        repository.resolve("raw")


def test_a_tag_that_moved_changes_nothing_and_a_manifest_that_went_is_told(shelf: Shelf, store: Store) -> None:
    shelf.push("moved", weights_image(packed=False))
    files = lock(store, checkpoint(f"{shelf.name}:moved"))
    shelf.push("moved", [tar_layer({"models/te/config.json": b"{}"})])
    for file in files:
        store.drop(file.sha256)
    check(files, store)
    gone = tuple(replace(file, revision=f"sha256:{'0' * 64}", sha256="1" * 64) for file in files)
    with pytest.raises(SourceError, match="does not exist at its registry any more"):
        fetch(gone, store, sources(), Diary())


def test_what_an_artifact_does_not_hold(shelf: Shelf, store: Store) -> None:
    shelf.push("raw", raw_layers())
    shelf.push("tars", weights_image(packed=False))
    for tag in ("raw", "tars"):
        with pytest.raises(SourceError, match=r"holds no file nothing, neither"):
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

    def blob(self, reference: str, layer: Any, offset: int, say: Narrator) -> Iterator[memoryview]:
        raise AssertionError("nothing is to be read")

    def files(self, reference: str, layer: Any, say: Narrator) -> Iterator[tuple[str, int, IO[bytes]]]:
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
        resolve(checkpoint("r.example/m:v1"), store, {"oci": Artifact(OneManifest([layer]))}, Diary())


def test_builds_have_this_source(shelf: Shelf, store: Store, tmp_path: Path) -> None:
    shelf.push("raw", raw_layers())
    with open_sources(tmp_path, "x") as opened:
        files = resolve(checkpoint(f"{shelf.name}:raw"), store, opened, Diary()).files
    assert {file.sha256 for file in files} == {sha256(WEIGHTS), sha256(CONFIG)}
