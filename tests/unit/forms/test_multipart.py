"""Multipart bodies: as clients write them, as RFC 2046 allows them, and as an attacker would."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.forms.multipart import MAX_HEAD, MAX_PARTS, read_parts

TYPE = "multipart/form-data; boundary=b"


def read(body: bytes, content_type: str = TYPE) -> list[tuple[str, str | bytes]]:
    return list(read_parts(content_type, body))


def part(name: str, content: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + content


def whole(*parts: bytes, before: bytes = b"", after: bytes = b"\r\n") -> bytes:
    return before + b"".join(b"--b\r\n" + each + b"\r\n" for each in parts) + b"--b--" + after


NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.text(max_size=50), max_size=4), st.dictionaries(NAMES, st.binary(min_size=1), max_size=4)
)
def test_what_a_real_client_writes_is_read(texts: dict[str, str], files: dict[str, bytes]) -> None:
    uploads = {name: ("a.bin", content) for name, content in files.items()}
    request = httpx.Request("POST", "http://a/", data=texts, files={**uploads, "last": ("z", b"z")})
    expected = [*texts.items(), *files.items(), ("last", b"z")]
    assert read(request.read(), request.headers["content-type"]) == expected


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for content in (body, whole(body), whole(part("a", b"1")) + body, b"--b\r\n" + body):
        with contextlib.suppress(ValueError):
            read(content)


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"--b--", b"--b\r\n", b"\r\n--bc\r\n", b"\r\n--", b"\r", b"\r\n--b-\r\n"]
)
def test_content_that_resembles_a_boundary(content: bytes) -> None:
    assert read(whole(part("a", content, b'; filename="f"'), part("z", b"1"))) == [("a", content), ("z", "1")]


def test_a_preamble_an_epilogue_and_padding_are_no_parts() -> None:
    padded = b"--b \t\r\n" + part("a", b"1") + b"\r\n--b--"
    for body in (padded, b"for old readers\r\n" + padded, b"\r\n" + padded, padded + b"\r\nand an end\r\n--b\r\n"):
        assert read(body) == [("a", "1")]


def test_headers_are_read_as_rfc_7578_allows() -> None:
    head = b"content-type: text/plain; charset=utf-8\r\nCONTENT-DISPOSITION:form-data ;filename*=UTF-8''x; NAME=clip"
    assert read(whole(head + b"\r\n\r\nxy")) == [("clip", b"xy")]
    quoted = rb'Content-Disposition: form-data; filename="C:\a\"b;name=no.wav"; name="clip"'
    assert read(whole(quoted + b"\r\n\r\nxy")) == [("clip", b"xy")]


def test_a_file_box_without_a_file_is_left_out() -> None:
    assert read(whole(part("clip", b"", b'; filename=""'), part("a", b""))) == [("a", "")]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "ends before"),
        (b"--b", "ends before"),
        (b"--b\r\n", "do not end"),
        (b"--c\r\n--c--", "ends before"),
        (whole(part("a", b"1"))[:-4], "ends before"),
        (whole(b""), "ends before"),
        (whole(b"\r\nx"), "no name"),
        (whole(b"Content-Disposition: form-data\r\n\r\nx"), "no name"),
        (whole(b"nonsense\r\n\r\nx"), "no colon"),
        (whole(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\nx'), "twice"),
        (whole(b"Content-Transfer-Encoding: base64\r\n" + part("a", b"MQ==")), "base64"),
        (whole(b"X: " + bytes(MAX_HEAD) + b"\r\n" + part("a", b"1")), "do not end"),
        (whole(*[part("a", b"1")] * (MAX_PARTS + 1)), "more than"),
        (whole(part("a", b"\xff")), "decode"),
    ],
)
def test_a_malformed_body_is_refused_in_words(body: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(body)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 71}", TYPE + "; boundary=c"]
)
def test_a_boundary_that_cannot_be_used(content_type: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        read(whole(part("a", b"1")), content_type)


@pytest.mark.parametrize("unit", [b"\r", b"\r\n", b"\r\n-", b"\r\n--", b"\r\n--b", b"\r\n--b-", b"--b", b";"])
def test_a_body_of_line_ends_takes_no_longer_than_another(unit: bytes) -> None:
    """A parser that looks at each of them needs more than a second for a megabyte."""
    size = 4_000_000
    plain = whole(part("a", bytes(size), b'; filename="f"'))
    hostile = whole(part("a", unit * (size // len(unit)), b'; filename="f"'))
    began = time.process_time()
    read(plain)
    took = time.process_time() - began
    began = time.process_time()
    with contextlib.suppress(ValueError):
        read(hostile)
    assert time.process_time() - began < 200 * took + 5
