"""Compressed bodies: their content is bounded, whatever they claim."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.forms.compression import TooLarge, decompress
from entrypoints.forms.form import find_largest_content


def raw_deflate(content: bytes) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encoder.compress(content) + encoder.flush()


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@settings(deadline=None)
@given(st.binary(max_size=5000))
def test_every_encoding_is_read(content: bytes) -> None:
    for encoding, compress in WAYS.items():
        assert decompress(compress(content), encoding, 5000) == content
    assert decompress(gzip.compress(content[:100]) + gzip.compress(content[100:]), "gzip", 5000) == content


@pytest.mark.parametrize("content", [b'{"a": 1}', b"", bytes(1000)])
def test_deflate_without_zlibs_header_is_read(content: bytes) -> None:
    assert decompress(raw_deflate(content), "deflate", 1000) == content


def test_a_bomb_takes_no_more_than_its_limit() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(bomb, "gzip", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_members_are_counted_together() -> None:
    with pytest.raises(TooLarge):
        decompress(gzip.compress(bytes(600)) * 2, "gzip", 1000)


@pytest.mark.parametrize("encoding", WAYS)
def test_the_largest_content_of_a_body_is_known(encoding: str) -> None:
    bomb = WAYS[encoding](bytes(10_000_000))
    assert find_largest_content(bomb) >= 10_000_000


@pytest.mark.parametrize("encoding", WAYS)
@pytest.mark.parametrize(
    "spoil", [lambda body: body[:-1], lambda body: body + b"x", lambda body: b"", lambda body: b"{}"]
)
def test_what_is_not_compressed_is_refused(encoding: str, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decompress(spoil(WAYS[encoding](b"content")), encoding, 1000)
