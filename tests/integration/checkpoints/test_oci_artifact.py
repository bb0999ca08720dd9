"""OCI artifacts as a source, from a real registry that Prebake's own client pushed them to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.oci_artifact import OciArtifact
from prebake.checkpoints.store.store import Store
from prebake.errors import SourceError
from prebake.oci.errors import RegistryError, RegistryUnreachable
from prebake.oci.registry.artifacts import RegistryArtifacts
from prebake.oci.registry.push import push_image
from prebake.plan.lock_check import expect_files
from prebake.spec.image.sources import FromOci
from prebake.spec.lock import LockedFile
from prebake.workflow.checkpoint.sources import open_sources
from tests.support.checkpoints.parts import Diary, named, sha256
from tests.support.checkpoints.shelf import (
    CONFIG,
    QUICK,
    WEIGHTS,
    Shelf,
    checkpoint,
    lock,
    raw_layers,
    sources,
    weights_image,
)
from tests.support.registries.oci_images import image_of, tar_layer
from tests.support.registry_servers.front import Fault


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
    source = OciArtifact(RegistryArtifacts(QUICK))

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
        resolve(checkpoint(f"{shelf.name}:raw"), store, {"oci": OciArtifact(artifacts)}, Diary())
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
    with pytest.raises(SourceError, match="no longer exists at its registry"):
        fetch(gone, store, sources(), Diary())


def test_builds_have_this_source(shelf: Shelf, store: Store, tmp_path: Path) -> None:
    shelf.push("raw", raw_layers())
    with open_sources(tmp_path, "x") as opened:
        files = resolve(checkpoint(f"{shelf.name}:raw"), store, opened, Diary()).files
    assert {file.sha256 for file in files} == {sha256(WEIGHTS), sha256(CONFIG)}
