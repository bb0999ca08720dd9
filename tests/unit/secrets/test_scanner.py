"""The scanner of secrets finds a mark in each form and container, and nothing else."""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import zstandard

from tests.support.secrets.marks import make_mark
from tests.support.secrets.scanner import CHUNK_BYTES, scan_bytes, scan_folder

MARK = make_mark("a-token").value.encode()
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda mark: b"token=" + mark,
    "JSON": lambda mark: json.dumps({"token": mark.decode()}).encode(),
    "quoted for a URL": lambda mark: quote(mark, safe="").encode(),
    "every character quoted": lambda mark: b"".join(b"%%%02X" % byte for byte in mark),
    "base64": base64.b64encode,
    "base64 of a name and the mark": lambda mark: base64.b64encode(b"name:" + mark),
    "base64 of a longer name and the mark": lambda mark: base64.b64encode(b"a-name:" + mark),
    "base64 for URLs": lambda mark: base64.urlsafe_b64encode(b"xx" + mark),
    "hexadecimal": lambda mark: mark.hex().encode(),
    "UTF-16": lambda mark: mark.decode().encode("utf-16"),
}


def make_tar(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("folder/file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def make_zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file", content)
    return file.getvalue()


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "two members of gzip": lambda content: gzip.compress(b"first") + gzip.compress(content),
    "zstd": zstandard.compress,
    "two frames of zstd": lambda content: zstandard.compress(b"first") + zstandard.compress(content),
    "zlib": zlib.compress,
    "xz": lzma.compress,
    "tar": make_tar,
    "zip": make_zip,
    "gzip in tar": lambda content: make_tar(gzip.compress(content)),
    "gzip in tar in gzip": lambda content: gzip.compress(make_tar(gzip.compress(content))),
    "zip in tar in zstd": lambda content: zstandard.compress(make_tar(make_zip(content))),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_mark_is_found_in_each_form(form: str) -> None:
    assert scan_bytes(b"before " + FORMS[form](MARK) + b" after")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", ["plain", "base64 of a name and the mark"])
def test_a_mark_is_found_in_each_container(container: str, form: str) -> None:
    assert scan_bytes(CONTAINERS[container](b"before " + FORMS[form](MARK) + b" after"))


@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_else_is_found(container: str) -> None:
    assert scan_bytes(CONTAINERS[container](b"pBmK7zQ9x, and much that is no mark " * 100)) == []


def test_a_mark_is_found_where_two_pieces_meet() -> None:
    for place in range(CHUNK_BYTES - len(MARK), CHUNK_BYTES + 1, 7):
        assert scan_bytes(bytes(place) + MARK), place


def test_what_only_begins_as_an_archive_is_read_as_bytes() -> None:
    for begin in (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xfd7zXZ\0", b"\x78\x9c"):
        assert scan_bytes(begin + b"no archive " + MARK)
        assert scan_bytes(begin + b"no archive") == []


def test_files_and_their_names_are_scanned(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / MARK.decode().replace("/", "-")).write_bytes(b"nothing")
    (tmp_path / "file").write_bytes(MARK)
    found = scan_folder(tmp_path)
    assert len(found) == 2
    assert any("the name" in each for each in found)
