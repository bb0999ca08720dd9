"""Writers of layouts that cannot go on: no room, killed. No blob is half there, and the rerun ends right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.errors import NoRoom
from prebake.oci.layout.layout import write_layout
from tests.support.registries.oci_images import image_of, read_layout, verify_layout
from tests.support.registries.oci_layouts import (
    FIRST,
    IMAGE,
    NAME,
    blob_names,
    has_no_half_blob,
    place,
    random_layer,
    unfinished,
    watched,
)
from tests.support.registries.oci_writers import Stalled


def test_too_little_room_is_said_before_anything_is_written_counting_what_is_missing(
    small_disk: Path, tmp_path: Path
) -> None:
    large = random_layer(tmp_path, 3 << 20)
    write_layout(image_of(large), small_disk, reference=NAME)
    write_layout(image_of(large, FIRST), small_disk, reference=NAME)  # 3 MiB more would not fit
    before = blob_names(small_disk)
    with pytest.raises(NoRoom, match="are needed"):
        write_layout(image_of(large, random_layer(tmp_path, 2 << 20)), small_disk, reference=NAME)
    assert blob_names(small_disk) == before


def test_a_disk_that_becomes_full_leaves_whole_blobs_and_the_rerun_completes(small_disk: Path, tmp_path: Path) -> None:
    def fill() -> None:
        (small_disk / "filler").write_bytes(bytes(2 << 20))

    layers = [random_layer(tmp_path, 1 << 20), random_layer(tmp_path, 2 << 20)]
    image = image_of(*layers)
    failing = replace(image, layers=(layers[0], watched(layers[1], fill)))
    with pytest.raises(NoRoom, match="became full"):
        write_layout(failing, small_disk, reference=NAME)
    assert not unfinished(small_disk)
    assert not (small_disk / "index.json").exists()
    assert has_no_half_blob(small_disk, image)
    assert not place(small_disk, layers[1]).exists()
    (small_disk / "filler").unlink()
    write_layout(image, small_disk, reference=NAME)
    verify_layout(small_disk, image)


@pytest.mark.parametrize(("which", "at"), [("layers", 0), ("layers", 1), ("layers", 2 << 20), ("manifest", 0)], ids=str)
def test_a_writer_killed_at_any_step_leaves_no_half_blob_and_the_rerun_completes(
    folder: Path, stalled: Stalled, which: str, at: int
) -> None:
    with stalled(folder, which=which, at=at) as writer:
        writer.kill()
    assert unfinished(folder)
    assert not (folder / "index.json").exists()
    assert has_no_half_blob(folder, writer.image)
    write_layout(writer.image, folder, reference=NAME)
    verify_layout(folder, writer.image)
    assert read_layout(folder) == {"one": writer.image.digest}
    assert not unfinished(folder)


def test_what_a_living_writer_writes_is_not_swept(folder: Path, stalled: Stalled) -> None:
    with stalled(folder) as writer:
        assert unfinished(folder)
        write_layout(IMAGE, folder, reference=NAME)
        writer.finish()  # it gives its file a name, so that file is still there
    assert read_layout(folder) == {"one": IMAGE.digest, "child": writer.image.digest}
    verify_layout(folder, writer.image)
