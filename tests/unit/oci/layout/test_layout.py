"""Images as folders: every blob once and whole, every tag kept."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.content import BytesContent, FileChanged
from prebake.oci.errors import ReferenceInvalid
from prebake.oci.layout.index import LayoutError
from prebake.oci.layout.layout import write_layout
from tests.support.registries.oci_images import image_of, read_layout, tar_layer, verify_layout, without_content
from tests.support.registries.oci_layouts import (
    FIRST,
    IMAGE,
    NAME,
    OTHER,
    SECOND,
    blob_names,
    place,
    random_layer,
    unfinished,
    watched,
)


def test_a_layout_holds_every_blob_and_names_the_image_for_tools_and_engines(folder: Path) -> None:
    write_layout(IMAGE, folder, reference=NAME)
    verify_layout(folder, IMAGE)
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == IMAGE.digest
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    assert entry["annotations"] == {
        "org.opencontainers.image.ref.name": "one",
        "io.containerd.image.name": "docker.io/prebake/toy:one",
    }
    assert sorted(path.name for path in folder.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_a_second_tag_joins_the_first_and_the_same_tag_replaces_it(folder: Path) -> None:
    write_layout(IMAGE, folder, reference=NAME)
    write_layout(OTHER, folder, reference="prebake/toy:two")
    assert read_layout(folder) == {"one": IMAGE.digest, "two": OTHER.digest}
    write_layout(OTHER, folder, reference=NAME)
    assert read_layout(folder) == {"one": OTHER.digest, "two": OTHER.digest}


def test_what_another_tool_wrote_into_the_index_stays(folder: Path) -> None:
    foreign = {"mediaType": "x/y", "digest": f"sha256:{'a' * 64}", "size": 1}
    folder.mkdir()
    (folder / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "annotations": {"a": "b"}, "manifests": [foreign]})
    )
    write_layout(IMAGE, folder, reference=NAME)
    index = json.loads((folder / "index.json").read_bytes())
    assert index["annotations"] == {"a": "b"}
    assert index["manifests"][0] == foreign
    assert index["manifests"][1]["digest"] == IMAGE.digest


def test_writers_at_once_lose_nobodys_tag(folder: Path) -> None:
    tags = {f"tag-{number}" for number in range(12)}
    with ThreadPoolExecutor(12) as writers:
        list(writers.map(lambda tag: write_layout(IMAGE, folder, reference=f"prebake/toy:{tag}"), tags))
    assert set(read_layout(folder)) == tags
    assert not unfinished(folder)


def test_a_blob_that_is_there_is_neither_read_nor_written_again(folder: Path) -> None:
    write_layout(IMAGE, folder, reference=NAME)
    before = {path: path.stat().st_mtime_ns for path in (folder / "blobs" / "sha256").iterdir()}
    read: list[str] = []
    layers = [watched(layer, lambda: read.append("read")) for layer in IMAGE.layers]
    write_layout(replace(IMAGE, layers=tuple(layers)), folder, reference=NAME)
    assert read == []
    assert {path: path.stat().st_mtime_ns for path in (folder / "blobs" / "sha256").iterdir()} == before


def test_a_blob_cut_short_is_written_again(folder: Path) -> None:
    write_layout(IMAGE, folder, reference=NAME)
    os.truncate(place(folder, FIRST), 10)
    write_layout(IMAGE, folder, reference=NAME)
    verify_layout(folder, IMAGE)


def test_blobs_whose_bytes_are_elsewhere_are_all_named_before_anything_is_written(folder: Path) -> None:
    image = replace(IMAGE, layers=tuple(map(without_content, IMAGE.layers)))
    with pytest.raises(LayoutError) as caught:
        write_layout(image, folder, reference=NAME)
    assert all(layer.digest in caught.value.message for layer in IMAGE.layers)
    assert IMAGE.config.digest not in caught.value.message
    assert blob_names(folder) == set()


def test_a_layout_that_holds_the_blobs_needs_no_bytes_for_them(folder: Path) -> None:
    write_layout(IMAGE, folder, reference=NAME)
    image = image_of(without_content(FIRST), tar_layer({"app/code": b"new"}))
    write_layout(image, folder, reference="prebake/toy:two")
    verify_layout(folder, image)


@pytest.mark.parametrize(
    "wrong", [BytesContent(b"x" * FIRST.size), BytesContent(b"too short")], ids=["of another digest", "of another size"]
)
def test_bytes_that_are_not_the_blobs_get_no_name(folder: Path, wrong: BytesContent) -> None:
    image = replace(IMAGE, layers=(replace(FIRST, content=wrong), SECOND))
    with pytest.raises(ChecksumMismatch, match=FIRST.digest):
        write_layout(image, folder, reference=NAME)
    assert not place(folder, FIRST).exists()
    assert not (folder / "index.json").exists()
    assert not unfinished(folder)
    write_layout(IMAGE, folder, reference=NAME)
    verify_layout(folder, IMAGE)


def test_a_file_that_changed_is_named(folder: Path, tmp_path: Path) -> None:
    layer = random_layer(tmp_path, 5000)
    (tmp_path / "random-5000").write_bytes(b"less")
    with pytest.raises(FileChanged, match="random-5000"):
        write_layout(image_of(layer), folder, reference=NAME)
    assert not unfinished(folder)


def test_an_index_that_is_none_is_said_before_anything_is_written(folder: Path) -> None:
    folder.mkdir()
    (folder / "index.json").write_text("[1, 2")
    with pytest.raises(LayoutError, match=r"index\.json is not an image index"):
        write_layout(IMAGE, folder, reference=NAME)
    assert blob_names(folder) == set()
    assert (folder / "index.json").read_text() == "[1, 2"


def test_a_name_that_is_none_makes_no_folder(folder: Path) -> None:
    with pytest.raises(ReferenceInvalid):
        write_layout(IMAGE, folder, reference="Prebake/Toy")
    assert not folder.exists()
