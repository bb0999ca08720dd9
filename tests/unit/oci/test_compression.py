"""What travels packed: decided by samples, the same bytes whenever it is packed."""

from __future__ import annotations

import hashlib
import io
import random

import pytest
import zstandard

from prebake.oci.compression import choose, decide, digest_of, write_packed
from prebake.oci.content import Content, Data, Joined

NOISE = random.Random(1).randbytes(3 << 20)
TEXT = b"def forward(self, x):\n    return x\n" * 90_000


@pytest.mark.parametrize(("data", "zstd"), [(NOISE, False), (TEXT, True), (b"", False)])
def test_samples_decide(data: bytes, zstd: bool) -> None:
    choice = choose(Data(data), "auto")
    assert choice.zstd is zstd
    assert "zstd takes it to" in choice.reason


def test_samples_are_taken_from_the_whole_of_it() -> None:
    """A header of text before noise is no reason to pack."""
    assert not choose(Joined([Data(TEXT[: 256 << 10]), Data(NOISE)]), "auto").zstd


@pytest.mark.parametrize(("asked", "zstd"), [("raw", False), ("zstd", True)])
def test_what_is_asked_for_is_done(asked: str, zstd: bool) -> None:
    for data in (NOISE, TEXT):
        choice = choose(Data(data), asked)  # type: ignore[arg-type]
        assert (choice.zstd, choice.reason) == (zstd, "asked for")


def test_a_layer_that_saves_little_is_not_worth_it() -> None:
    assert (decide(0.90, "auto").zstd, decide(0.91, "auto").zstd) == (True, False)


def test_packing_gives_the_same_bytes_however_they_come() -> None:
    found = set()
    contents: list[Content] = [Data(TEXT), Joined([Data(TEXT[:1000]), Data(TEXT[1000:])])]
    for content in contents:
        out = io.BytesIO()
        packed = write_packed(content, out.write)
        assert zstandard.ZstdDecompressor().decompress(out.getvalue()) == TEXT
        assert packed.size == len(out.getvalue())
        assert packed.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
        assert packed.diff == digest_of(Data(TEXT)) == f"sha256:{hashlib.sha256(TEXT).hexdigest()}"
        found.add(packed)
    assert len(found) == 1
