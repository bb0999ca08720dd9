"""Layers as tars: the same bytes whenever and in whatever order, readable by anybody, from any offset on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from prebake.oci.blobs.content import BytesContent, Content, FileContent
from prebake.oci.layers.tar import TarEntry, tar_content

LONG = "models/" + "/".join(["folder" * 5] * 6) + "/weights.safetensors"


def read(content: Content, offset: int = 0) -> bytes:
    return b"".join(bytes(chunk) for chunk in content.chunks(offset))


def entries(folder: Path) -> list[TarEntry]:
    (folder / "weights").write_bytes(b"w" * 70_000)
    return [
        TarEntry("models/net/weights", content=FileContent.of(folder / "weights")),
        TarEntry("models/empty"),
        TarEntry(LONG, content=BytesContent(b"long")),
        TarEntry("app/run.py", content=BytesContent(b"print()"), executable=True),
        TarEntry("app/link", "link", target="run.py"),
        TarEntry("models/bare", "folder"),
    ]


def test_anybody_can_read_it(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(read(tar_content(entries(tmp_path))))) as tree:
        members = {member.name: member for member in tree}
        contents = {name: file.read() for name in members if (file := tree.extractfile(name))}
    assert contents["models/net/weights"] == b"w" * 70_000
    assert (contents["models/empty"], contents[LONG]) == (b"", b"long")
    assert members["app/link"].linkname == "run.py"
    assert {"app", "models", "models/net", "models/bare"} <= {name for name, each in members.items() if each.isdir()}


def test_it_tells_nothing_of_who_made_it_and_when(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(read(tar_content(entries(tmp_path))))) as tree:
        members = list(tree)
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in members} == {(0, 0, 0, "", "")}
    assert {each.mode for each in members if not each.issym()} == {0o444, 0o555}
    assert {each.name: each.mode for each in members}["app/run.py"] == 0o555


def test_order_does_not_matter_and_the_size_is_known_before(tmp_path: Path) -> None:
    forth, back = tar_content(entries(tmp_path)), tar_content(reversed(entries(tmp_path)))
    assert read(forth) == read(back)
    assert forth.size == len(read(forth))


def test_it_can_be_gone_on_with_anywhere() -> None:
    from hypothesis import given, settings  # takes about two seconds, in every process that collects this module
    from hypothesis import strategies as st

    content = tar_content(
        [TarEntry("a", content=BytesContent(b"a" * 700)), TarEntry("b", content=BytesContent(b"b" * 70_000))]
    )
    whole = read(content)

    @settings(deadline=None)
    @given(st.integers(min_value=0, max_value=80_000))
    def goes_on(offset: int) -> None:
        assert read(content, min(offset, content.size)) == whole[offset:]

    goes_on()


def test_a_file_too_large_for_a_plain_header_has_its_size_in_a_record(tmp_path: Path) -> None:
    size = 9 * 2**30
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
    content = tar_content([TarEntry("large", content=FileContent.of(path))])
    head = b"".join(bytes(part.data) for part in content.parts if isinstance(part, BytesContent))
    assert f"size={size}".encode() in head
    assert content.size > size
