"""JSON bodies: what they may become in memory is known before they are parsed."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.forms.json_body import estimate_json_bytes, read_json

MANY = 20_000


def nested(unit: str, levels: int) -> str:
    return unit * levels + "0" + ("}" if unit.startswith("{") else "]") * levels


HOSTILE = {
    "empty objects": "[" + ",".join(["{}"] * MANY) + "]",
    "empty lists": "[" + ",".join(["[]"] * MANY) + "]",
    "digits": "[" + ",".join(["1"] * MANY) + "]",
    "numbers of many digits": "[" + ",".join([str(10**300 + n) for n in range(500)]) + "]",
    "floats": "[" + ",".join(f"{n}.5" for n in range(MANY)) + "]",
    "objects of one name": "[" + ",".join(['{"a":0}'] * MANY) + "]",
    "many names": json.dumps({f"n{n}": 0 for n in range(MANY)}),
    "many names in each of some objects": json.dumps([{f"n{m}-{n}": n for n in range(100)} for m in range(100)]),
    "short texts": json.dumps([f"{n}" for n in range(MANY)]),
    "one wide character among many": json.dumps(["x" * 200_000 + "😀"], ensure_ascii=False),
    "one wide character in each text": json.dumps(["x" * 50 + "😀"] * 2000, ensure_ascii=False),
    "one escape among many characters": '["' + "x" * 200_000 + '\\ud83d\\ude00"]',
    "objects in objects": "[" + ",".join([nested('{"a":', 200)] * 50) + "]",
    "lists in lists": "[" + ",".join([nested("[", 200)] * 50) + "]",
    "spaces": " " * 200_000 + "[]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_estimate_is_never_below_what_is_taken(text: str) -> None:
    body = text.encode()
    tracemalloc.start()
    try:
        read_json(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= estimate_json_bytes(body) + 10_000


def test_the_estimate_of_a_file_in_base64_is_near_its_size() -> None:
    body = json.dumps({"clip": "QUJD" * 1_000_000}).encode()
    assert estimate_json_bytes(body) < 3.1 * len(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON, st.booleans())
def test_all_json_is_read(value: object, ascii_only: bool) -> None:
    try:
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can express
        return
    assert read_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "c": 2, "a": 3}}',
        b'{"a": 1, "\\u0061": 2}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"\xff",
        b'"\xed\xa0\x80"',
        '["a"]'.encode("utf-16"),
        b"",
        b"1 2",
        b"[" + b"1" * 5000 + b"]",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(body)


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_json(b"\xef\xbb\xbf[1]") == [1]
