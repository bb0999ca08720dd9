"""Urlencoded forms, compared with Python's own decoder."""

from __future__ import annotations

import tracemalloc
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.forms.multipart import MAX_PARTS
from entrypoints.forms.urlencoded import PIECE, decode, read_pairs


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=100)), max_size=8))
def test_pairs_are_read_as_python_reads_them(pairs: list[tuple[str, str]]) -> None:
    try:
        body = urlencode(pairs).encode()
    except UnicodeEncodeError:
        return
    expected = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    assert list(read_pairs(body)) == expected == pairs


@settings(deadline=None)
@given(st.text(alphabet="ab%41+é😀&=", max_size=30), st.integers(PIECE - 40, PIECE + 5))
def test_no_escape_is_cut_between_two_pieces(text: str, before: int) -> None:
    whole = "x" * before + text
    assert decode(quote_plus(whole).encode()) == whole


@settings(deadline=None)
@given(st.text(alphabet="ab%41+=&;%", max_size=60))
def test_any_text_is_read_as_python_reads_it(text: str) -> None:
    try:
        expected = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            list(read_pairs(text.encode()))
    else:
        assert list(read_pairs(text.encode())) == expected


def test_escapes_take_little_memory() -> None:
    """Python's decoder makes a million objects of these."""
    body = b"a=" + b"%41" * 1_000_000
    tracemalloc.start()
    try:
        ((_, value),) = read_pairs(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert value == "A" * 1_000_000
    assert peak <= 6 * len(body)


@pytest.mark.parametrize("body", [b"a=%ff", b"%c3=1", b"a=\xc3\xa9", b"&" * MAX_PARTS])
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(read_pairs(body))
