"""Bodies of ``/generate`` that are no form, a wrong form, or a form that becomes large."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from functools import cache

from tests.support.hostile.message import JSON, URLENCODED, HostileRequest, Target, post

MEBIBYTE = 1 << 20
VALUES = (
    *("null", "true", "NaN", "Infinity", "-0", "1e400", "9" * 5000, "[]", "{}", '""', '"\\ud800"', '"\\u0000"', '"a"'),
    *("[[[[1]]]]", '{"a": {"b": []}}', '"' + "x" * 200_000 + '"', '["a", 1, null]', "0x10", "'a'", "01", '"\n"'),
)
DOCUMENTS = (
    *(
        b"",
        b"{",
        b"}",
        b"[]",
        b"null",
        b"3",
        b'"text"',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"\x80\x81",
        b"{}{}",
        b"{,}",
    ),
    *(b"{'a': 1}", b'{"a" 1}', b'{"a": 1,}', b"\0" * 1000, b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900),
)
BOUNDARIES = ("b", "", '"a b"', "b" * 70, "b" * 5000, '"', "b; boundary=c", "\x01", "--", "'()+_,-./:=?")


def make_json(draw: random.Random, target: Target) -> HostileRequest:
    return post("no JSON form", "/generate", draw.choice(DOCUMENTS))


def make_values(draw: random.Random, target: Target) -> HostileRequest:
    """Right and wrong names with odd values, some of them twice."""
    names = [
        draw.choice((*target.fields, "", "no such field", "texts\\u0000", "__proto__"))
        for _ in range(draw.randrange(1, 4))
    ]
    pairs = ", ".join(f'"{name}": {draw.choice(VALUES)}' for name in names)
    return post(
        "JSON form",
        "/generate",
        f"{{{pairs}}}".encode(errors="replace"),
        draw.choice((JSON, JSON, f"{JSON}; charset=x")),
    )


def make_many_names(draw: random.Random, target: Target) -> HostileRequest:
    """Thousands of unknown names, close to the right one, or one name again and again."""
    count, name = draw.randrange(100, 5000), target.fields[0]
    same = draw.random() < 0.5
    return post(
        "many names",
        "/generate",
        json.dumps({f"{name}{n}": n for n in range(count)}).encode() if same else repeat(name, count),
    )


def repeat(name: str, count: int) -> bytes:
    return b"{" + b",".join([b'"%s":1' % name.encode()] * count) + b"}"


def make_json_bomb(draw: random.Random, target: Target) -> HostileRequest:
    """Small on the wire for what it becomes in memory."""
    unit = draw.choice((b"{}", b"[]", b"0", b'""', b"[[]]"))
    size = draw.choice((10_000, 100_000, 600_000))
    body = b'{"%s":[%s]}' % (target.fields[0].encode(), b",".join([unit] * (size // (len(unit) + 1))))
    return post("JSON bomb", "/generate", body)


def make_urlencoded(draw: random.Random, target: Target) -> HostileRequest:
    field = target.fields[0].encode()
    body = draw.choice(
        (
            field + b"=" + b"%41" * draw.choice((10, 30_000, 300_000)),
            b"&".join([b"a=1"] * draw.choice((10, 10_000, 100_000))),
            b"&" * 100_000,
            field + b"=%",
            field + b"=%zz&" + field + b"=%ff%fe",
            b"=" * 1000,
            b"+" * 1000 + b"=" + b"\xff" * 10,
            field + b"=a&" + field + b"=b",
        )
    )
    return post("urlencoded form", "/generate", body, URLENCODED)


def make_multipart(draw: random.Random, target: Target) -> HostileRequest:
    """Boundaries and part headers that are odd, missing or wrong."""
    boundary, field = draw.choice(BOUNDARIES), target.fields[0]
    line = ("--" + boundary.strip('"')).encode("latin-1")
    disposition = draw.choice(
        (
            f'form-data; name="{field}"',
            f"form-data; name={field}",
            f'form-data; name="{field}"; filename="../../etc/passwd"',
            f"form-data; name=\"{field}\"; filename*=UTF-8''%00%ff",
            'form-data; name="',
            "form-data",
            "attachment; name=" + "x" * 10_000,
        )
    ).encode()
    part = line + b"\r\nContent-Disposition: " + disposition + b"\r\n\r\ntext\r\n"
    body = draw.choice(
        (
            part + line + b"--\r\n",
            b"preamble\r\n" + part + line + b"--\r\nepilogue",
            part,
            part * draw.choice((2, 1000)) + line + b"--",
            line * 20_000,
            b"\r\n" * 50_000,
            line + b"--",
            b"",
            line + b"\nContent-Disposition: form-data\n\n",
            line + b"\r\nX: y" * 500 + b"\r\n\r\n" + line + b"--",
            line + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%\r\n" + line + b"--",
        )
    )
    return post("multipart form", "/generate", body, f"multipart/form-data; boundary={boundary}")


@cache
def compress_zeros(size: int, coding: str) -> bytes:
    zeros = bytes(size)
    return gzip.compress(zeros, 9, mtime=0) if coding == "gzip" else zlib.compress(zeros, 9)


def make_compressed(draw: random.Random, target: Target) -> HostileRequest:
    """Compressed bodies that are cut, damaged, of another coding, or large once they are decompressed."""
    coding = draw.choice(("gzip", "deflate"))
    good = b'{"%s": "a sentence"}' % target.fields[0].encode()
    packed = gzip.compress(good, mtime=0) if coding == "gzip" else zlib.compress(good)
    place = draw.randrange(len(packed))
    body = draw.choice(
        (
            packed[:place],
            packed[:place] + bytes([draw.randrange(256)]) + packed[place + 1 :],
            packed * draw.choice((2, 500)),
            packed + b"more",
            good,
            b"",
            compress_zeros(draw.choice((MEBIBYTE, 64 * MEBIBYTE)), coding),
            zlib.compress(good)[2:-4],
        )
    )
    named = draw.choice((coding, coding, coding.upper(), f"{coding}, {coding}", "br", "identity", "x-gzip"))
    return post("compressed form", "/generate", body, Content_Encoding=named)
