"""Images as folders and archives: whole or not there, whatever stops the writer."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch, NoRoom
from prebake.oci.archive import layout_tar, write_layout_tar
from prebake.oci.blobs import Blob, Descriptor, Image
from prebake.oci.content import Content, Data, FileChanged
from prebake.oci.errors import ReferenceInvalid
from prebake.oci.index import LayoutError
from prebake.oci.layout import write_layout
from tests.oci_images import file_layer, image_of, read_layout, tar_layer, verify_layout, without_content

ROOT = Path(__file__).parents[3]
NAME = "prebake/toy:one"

FIRST = tar_layer({"models/first": b"first" * 1000})
SECOND = tar_layer({"models/second": b"second" * 1000})
IMAGE = image_of(FIRST, SECOND)
OTHER = image_of(FIRST, tar_layer({"app/code": b"other"}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def place(folder: Path, blob: Blob) -> Path:
    return folder / "blobs" / blob.digest.replace(":", "/")


def blob_names(folder: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (folder / "blobs" / "sha256").iterdir()}


def has_no_half_blob(folder: Path, image: Image) -> bool:
    return all(
        place(folder, blob).stat().st_size == blob.size
        for blob in (*image.blobs, image.manifest)
        if place(folder, blob).exists()
    )


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(".prebake-oci-*"))


def random_layer(folder: Path, size: int) -> Blob:
    path = folder / f"random-{size}"
    path.write_bytes(os.urandom(size))
    return file_layer(path, "models/random")


@dataclass(frozen=True)
class Watched:
    """A real content that has something happen when it is read."""

    content: Content
    when_read: Callable[[], object]

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        self.when_read()
        yield from self.content.chunks(offset)


def watched(blob: Blob, when_read: Callable[[], object]) -> Blob:
    assert blob.content is not None
    return replace(blob, content=Watched(blob.content, when_read))


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
    "wrong", [Data(b"x" * FIRST.size), Data(b"too short")], ids=["of another digest", "of another size"]
)
def test_bytes_that_are_not_the_blobs_get_no_name(folder: Path, wrong: Data) -> None:
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


CHILD = """
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from prebake.oci.archive import write_layout_tar
from prebake.oci.blobs import Blob
from prebake.oci.layout import write_layout
from tests.oci_images import file_layer, image_of, tar_layer

@dataclass(frozen=True)
class Stalled:
    content: object
    at: int
    size: int

    def chunks(self, offset=0):
        done = 0
        for chunk in self.content.chunks(offset):
            if done >= self.at:
                os.write(1, b"stalled\\n")
                sys.stdin.readline()
            yield chunk
            done += len(chunk)

kind, target, weights, which, at = sys.argv[1:]
image = image_of(file_layer(Path(weights), "models/weights"), tar_layer({"app/code": b"code"}))
def stalled(blob): return Blob(blob.descriptor, Stalled(blob.content, int(at), blob.size))
changed = dict(layers={"layers": tuple(map(stalled, image.layers))}, manifest={"manifest": stalled(image.manifest)})[which]
image = type(image)(**{"manifest": image.manifest, "config": image.config, "layers": image.layers, **changed})
write = {"folder": write_layout, "tar": write_layout_tar}[kind]
write(image, Path(target), reference="prebake/toy:child")
"""


@dataclass(frozen=True)
class Writer:
    """A process that writes a layout and has stopped half way in it."""

    process: subprocess.Popen[str]
    image: Image

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        self.process.communicate("\n" * 8, timeout=30)
        assert self.process.returncode == 0


@pytest.fixture
def stalled(tmp_path: Path) -> Callable[..., AbstractContextManager[Writer]]:
    weights = tmp_path / "weights"
    weights.write_bytes(os.urandom(3 << 20))

    @contextmanager
    def start(target: Path, *, kind: str = "folder", which: str = "layers", at: int = 0) -> Iterator[Writer]:
        command = [sys.executable, "-c", CHILD, kind, str(target), str(weights), which, str(at)]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "stalled\n"
            yield Writer(child, image_of(file_layer(weights, "models/weights"), tar_layer({"app/code": b"code"})))
        finally:
            child.kill()
            child.communicate()

    return start


@pytest.mark.parametrize(("which", "at"), [("layers", 0), ("layers", 1), ("layers", 2 << 20), ("manifest", 0)], ids=str)
def test_a_writer_killed_at_any_step_leaves_no_half_blob_and_the_rerun_completes(
    folder: Path, stalled: Callable[..., AbstractContextManager[Writer]], which: str, at: int
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


def test_what_a_living_writer_writes_is_not_swept(
    folder: Path, stalled: Callable[..., AbstractContextManager[Writer]]
) -> None:
    with stalled(folder) as writer:
        assert unfinished(folder)
        write_layout(IMAGE, folder, reference=NAME)
        writer.finish()  # it gives its file a name, so that file is still there
    assert read_layout(folder) == {"one": IMAGE.digest, "child": writer.image.digest}
    verify_layout(folder, writer.image)


def test_an_archive_is_the_same_bytes_each_time_and_holds_nothing_of_this_machine(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tar", tmp_path / "sub" / "b.tar"]
    for path in paths:
        write_layout_tar(IMAGE, path, reference=NAME)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tarfile.open(paths[0]) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    verify_layout(tmp_path / "unpacked", IMAGE)
    assert read_layout(tmp_path / "unpacked") == {"one": IMAGE.digest}


def test_a_blob_over_8_gib_has_its_size_in_the_archive() -> None:
    """Its header is read; its bytes are never asked for."""
    size = 9 << 30
    huge = Blob(Descriptor("application/vnd.oci.image.layer.v1.tar", f"sha256:{'f' * 64}", size), Data(b""))
    headers = (bytes(chunk) for chunk in layout_tar(image_of(huge), reference=NAME) if len(chunk) > 1024)
    with tarfile.open(fileobj=io.BytesIO(next(headers))) as archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.size) == (f"blobs/sha256/{'f' * 64}", size)


def test_an_archive_of_other_bytes_gets_no_name_and_an_older_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_layout_tar(OTHER, path, reference=NAME)
    before = path.read_bytes()
    wrong = replace(IMAGE, layers=(FIRST, replace(SECOND, content=Data(b"x" * SECOND.size))))
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


def test_an_archive_whose_writer_was_killed_is_written_by_the_rerun(
    tmp_path: Path, stalled: Callable[..., AbstractContextManager[Writer]]
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    path = folder / "image.tar"
    with stalled(path, kind="tar", at=1 << 20) as writer:
        writer.kill()
    assert unfinished(folder)
    assert not path.exists()
    write_layout_tar(writer.image, path, reference=NAME)
    shutil.unpack_archive(path, tmp_path / "unpacked", filter="data")
    verify_layout(tmp_path / "unpacked", writer.image)
    assert [each.name for each in folder.iterdir()] == ["image.tar"]
