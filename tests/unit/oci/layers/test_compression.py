"""What travels packed: decided by samples, the same bytes whenever it is packed."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
from collections.abc import Callable

import pytest
import zstandard

from prebake.oci.blobs.content import BytesContent, Content, JoinedContent
from prebake.oci.layers.compression import Form, choose_form, decide_form, digest_content, write_packed

NOISE = random.Random(1).randbytes(3 << 20)
TEXT = b"def forward(self, x):\n    return x\n" * 90_000


@pytest.mark.parametrize(("data", "form"), [(NOISE, "raw"), (TEXT, "zstd"), (b"", "raw")])
def test_samples_decide(data: bytes, form: Form) -> None:
    choice = choose_form(BytesContent(data), "auto")
    assert choice.form == form
    assert "zstd shrinks samples to" in choice.reason


def test_samples_are_taken_from_the_whole_of_it() -> None:
    """A header of text before noise is no reason to pack."""
    assert choose_form(JoinedContent([BytesContent(TEXT[: 256 << 10]), BytesContent(NOISE)]), "auto").form == "raw"


@pytest.mark.parametrize("asked", ["raw", "zstd", "gzip"])
def test_what_is_asked_for_is_done(asked: Form) -> None:
    for data in (NOISE, TEXT):
        choice = choose_form(BytesContent(data), asked)
        assert (choice.form, choice.reason) == (asked, "asked for")


def test_a_layer_that_saves_little_is_not_worth_it() -> None:
    assert (decide_form(0.90, "auto").form, decide_form(0.91, "auto").form) == ("zstd", "raw")


def unpack_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data)


@pytest.mark.parametrize(("form", "unpack"), [("zstd", unpack_zstd), ("gzip", gzip.decompress)])
def test_packing_gives_the_same_bytes_however_they_come(form: Form, unpack: Callable[[bytes], bytes]) -> None:
    found = set()
    contents: list[Content] = [
        BytesContent(TEXT),
        JoinedContent([BytesContent(TEXT[:1000]), BytesContent(TEXT[1000:])]),
    ]
    for content in contents:
        out = io.BytesIO()
        packed = write_packed(content, form, out.write)
        assert unpack(out.getvalue()) == TEXT
        assert packed.size == len(out.getvalue())
        assert packed.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
        assert packed.diff_id == digest_content(BytesContent(TEXT)) == f"sha256:{hashlib.sha256(TEXT).hexdigest()}"
        found.add(packed)
    assert len(found) == 1
