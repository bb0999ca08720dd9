"""Images as archives: the same bytes each time, whole or not there."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch, NoRoom
from prebake.oci.blobs.blobs import Blob, Descriptor
from prebake.oci.blobs.content import BytesContent
from prebake.oci.layout.archive import layout_tar, write_layout_tar
from prebake.oci.layout.index import LayoutError
from tests.support.registries.oci_images import image_of, read_layout, verify_layout, without_content
from tests.support.registries.oci_layouts import FIRST, IMAGE, NAME, OTHER, SECOND, random_layer, unfinished, watched
from tests.support.registries.oci_writers import Stalled


def test_an_archive_is_the_same_bytes_each_time_and_holds_nothing_of_this_machine(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tar", tmp_path / "sub" / "b.tar"]
    for path in paths:
        write_layout_tar(IMAGE, path, reference=NAME)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tarfile.open(paths[0]) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "unpacked")
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    verify_layout(tmp_path / "unpacked", IMAGE)
    assert read_layout(tmp_path / "unpacked") == {"one": IMAGE.digest}


def test_a_blob_over_8_gib_has_its_size_in_the_archive() -> None:
    """Its header is read; its bytes are never asked for."""
    size = 9 << 30
    huge = Blob(Descriptor("application/vnd.oci.image.layer.v1.tar", f"sha256:{'f' * 64}", size), BytesContent(b""))
    headers = (bytes(chunk) for chunk in layout_tar(image_of(huge), reference=NAME) if len(chunk) > 1024)
    with tarfile.open(fileobj=io.BytesIO(next(headers))) as archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.size) == (f"blobs/sha256/{'f' * 64}", size)


def test_an_archive_of_other_bytes_gets_no_name_and_an_older_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_layout_tar(OTHER, path, reference=NAME)
    before = path.read_bytes()
    wrong = replace(IMAGE, layers=(FIRST, replace(SECOND, content=BytesContent(b"x" * SECOND.size))))
    with pytest.raises(ChecksumMismatch, match=SECOND.digest):
        write_layout_tar(wrong, path, reference=NAME)
    with pytest.raises(LayoutError, match=SECOND.digest):
        write_layout_tar(replace(IMAGE, layers=(FIRST, without_content(SECOND))), path, reference=NAME)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["image.tar"]


def test_an_archive_on_a_small_disk_is_refused_before_or_ends_without_a_trace(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "image.tar"
    with pytest.raises(NoRoom, match="are needed"):
        write_layout_tar(image_of(random_layer(tmp_path, 5 << 20)), path, reference=NAME)
    layer = random_layer(tmp_path, 3 << 20)
    failing = watched(layer, lambda: (small_disk / "filler").write_bytes(bytes(2 << 20)))
    with pytest.raises(NoRoom, match="became full"):
        write_layout_tar(image_of(failing), path, reference=NAME)
    assert [each.name for each in small_disk.iterdir()] == ["filler"]


def test_an_archive_whose_writer_was_killed_is_written_by_the_rerun(tmp_path: Path, stalled: Stalled) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    path = folder / "image.tar"
    with stalled(path, kind="tar", at=1 << 20) as writer:
        writer.kill()
    assert unfinished(folder)
    assert not path.exists()
    write_layout_tar(writer.image, path, reference=NAME)
    shutil.unpack_archive(path, tmp_path / "unpacked")
    verify_layout(tmp_path / "unpacked", writer.image)
    assert [each.name for each in folder.iterdir()] == ["image.tar"]
