"""The layer of the Debian base image: reproducible, and with what Debian's files need."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from prebake.bootstrap.base_layer import filter_tar, write_base_layer
from prebake.oci.blobs.blobs import sha256_digest


def tree(names: Sequence[str], mtime: int) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode, info.mtime, info.uname = len(name), 0o4755, mtime, "somebody"
            archive.addfile(info, io.BytesIO(name.encode()))
    file.seek(0)
    return file


def test_a_layer_depends_on_the_files_alone(tmp_path: Path) -> None:
    layers, packed = [], set()
    for index, names in enumerate((["b", "a/.c", "left/out"], ["a/.c", "b"])):
        folder = tmp_path / str(index)
        folder.mkdir()
        keeps = lambda path: not path.startswith("/left")  # noqa: E731
        layers.append(write_base_layer(tree(names, index), folder, keeps, created_by="test"))
        packed.add((folder / "layer.tar.gz").read_bytes())
    assert len(packed) == 1
    first, second = layers
    assert (first.diff_id, first.blob.descriptor) == (second.diff_id, second.blob.descriptor)
    assert first.unpacked == len("a/.c") + len("b")
    assert first.blob.descriptor.digest == sha256_digest(packed.pop())
    with tarfile.open(tmp_path / "0" / "layer.tar.gz") as files:
        assert [(member.name, member.mode, member.mtime, member.uname) for member in files] == [
            ("a/.c", 0o755, 0, ""),
            ("b", 0o755, 0, ""),
        ]


def test_links_modes_of_folders_and_owners_stay(tmp_path: Path) -> None:
    source, target = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=source, mode="w") as archive:
        for name, kind, mode, link in (
            ("./tmp", tarfile.DIRTYPE, 0o1777, ""),
            ("./a", tarfile.REGTYPE, 0o640, ""),
            ("./hard", tarfile.LNKTYPE, 0o640, "./a"),
            ("./soft", tarfile.SYMTYPE, 0o777, "./a"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.gid = kind, mode, link, 42
            archive.addfile(info)
    source.seek(0)
    filter_tar(source, target, lambda _: True)
    target.seek(0)
    with tarfile.open(fileobj=target) as layer:
        assert [(member.name, member.mode, member.linkname, member.gid) for member in layer] == [
            ("a", 0o640, "", 42),
            ("hard", 0o640, "a", 42),
            ("soft", 0o777, "./a", 42),
            ("tmp", 0o1777, "", 42),
        ]
