"""gzip by members: the same bytes for any number of threads and on any machine, and read by everybody."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess

import pytest

from prebake.oci.blobs.blobs import GZIP, Blob, Descriptor
from prebake.oci.blobs.content import BytesContent
from prebake.oci.layers.gzip import MEMBER_BYTES, gzip_members
from prebake.oci.layers.layer_reader import read_layer
from prebake.oci.layers.tar import TarEntry, tar_content

TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(400_000))


def pack(data: bytes, threads: int, chunk: int) -> bytes:
    chunks = (memoryview(data)[start : start + chunk] for start in range(0, len(data), chunk))
    return b"".join(gzip_members(chunks, threads))


@pytest.mark.parametrize("size", [0, 1, MEMBER_BYTES - 1, MEMBER_BYTES, MEMBER_BYTES + 1, 2 * MEMBER_BYTES, len(TEXT)])
def test_the_bytes_do_not_depend_on_threads_or_chunks(size: int) -> None:
    data = TEXT[:size]
    found = {
        pack(data, threads, chunk)
        for threads in (1, 2, 7)
        for chunk in (1 << 20, MEMBER_BYTES, 999_999, 3 * MEMBER_BYTES)
    }
    assert len(found) == 1
    (packed,) = found
    assert gzip.decompress(packed) == data
    assert packed.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") >= max(1, -(-size // MEMBER_BYTES)), "no name and no time"


def test_the_bytes_are_those_of_the_pinned_library() -> None:
    """Computed on an x86-64 processor with AVX-512. Another digest means another libdeflate: layers that are known by their
    digest would be made and pushed again."""
    assert len(TEXT) > 3 * MEMBER_BYTES
    assert hashlib.sha256(pack(TEXT, 2, 1 << 20)).hexdigest() == PINNED


PINNED = "438dcd0e2d4d67b079cc8f70d88e1bbb4f7464786d022d997dd118f1e0914534"


@pytest.mark.parametrize("program", ["gzip", "pigz"])
def test_other_programs_read_it(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    ended = subprocess.run([program, "-dc"], input=pack(TEXT, 2, 1 << 20), capture_output=True, check=True)
    assert ended.stdout == TEXT


def test_a_layer_of_several_members_is_read_back() -> None:
    tar = tar_content([TarEntry("models/text", content=BytesContent(TEXT))])
    packed = b"".join(gzip_members(tar.chunks()))
    digest = f"sha256:{hashlib.sha256(packed).hexdigest()}"
    found = read_layer(Blob(Descriptor(GZIP, digest, len(packed)), BytesContent(packed)), ("models/",), "")
    assert found.fault == ""
    assert [(member.path, member.sha256) for member in found.members] == [
        ("models/text", hashlib.sha256(TEXT).hexdigest())
    ]
