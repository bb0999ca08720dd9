"""``multipart/form-data`` (RFC 7578) that is in memory as a whole.

A parser for streams looks at single bytes, in Python: a body of line ends would hold it for minutes. Here the body is searched
for its boundary, which takes a time that grows with its length alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_PARTS = 1000
MAX_HEAD = 16 * 1024
"""Bytes of the headers of one part."""
MAX_BOUNDARY = 70
"""RFC 2046, section 5.1.1."""
_PARAMETER = re.compile(rb';\s*([a-zA-Z*]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)', re.DOTALL)
_PADDING = re.compile(rb"[ \t]*\r\n")
_HEAD_END = b"\r\n\r\n"


class Part(NamedTuple):
    """``head``: its headers. ``start`` and ``end``: where its content lies in the body."""

    head: bytes
    start: int
    end: int


def read_parts(content_type: str, body: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Each part by its name: bytes if it has a file name, else text. Raises ValueError, UnicodeDecodeError among them."""
    boundary = read_parameters(content_type.encode("latin-1", "replace")).get("boundary", b"")
    if not boundary:
        raise ValueError("the content type has no boundary")
    if len(boundary) > MAX_BOUNDARY:
        raise ValueError(f"its boundary is longer than {MAX_BOUNDARY} bytes")
    for number, part in enumerate(find_parts(body, b"\r\n--" + boundary)):
        if number >= MAX_PARTS:
            raise ValueError(f"it has more than {MAX_PARTS} parts")
        named = read_part(body, part)
        if named is not None:
            yield named


def find_parts(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """Yield the parts. The preamble before the first boundary and the epilogue after the last one are skipped."""
    begins = body.startswith(delimiter[2:])
    position = len(delimiter) + (-2 if begins else find_delimiter(body, delimiter, 0))
    while True:
        if body.startswith(b"--", position):
            return
        padding = _PADDING.match(body, position)
        if padding is None:  # the boundary is the beginning of a longer word, in the text before the first part
            position = find_delimiter(body, delimiter, position) + len(delimiter)
            continue
        # A part without headers begins with the empty line that ends them.
        head_end = body.find(_HEAD_END, padding.end() - 2, padding.end() + MAX_HEAD)
        if head_end < 0:
            raise ValueError(f"the headers of a part do not end within {MAX_HEAD} bytes")
        start = head_end + len(_HEAD_END)
        end = find_end(body, delimiter, start)
        yield Part(body[padding.end() : max(padding.end(), head_end)], start, end)
        position = end + len(delimiter)


def find_end(body: bytes, delimiter: bytes, start: int) -> int:
    """Where the content ends that begins at ``start``: at a boundary that is a line of its own."""
    end = find_delimiter(body, delimiter, start)
    while not body.startswith(b"--", after := end + len(delimiter)) and not _PADDING.match(body, after):
        end = find_delimiter(body, delimiter, after)
    return end


def find_delimiter(body: bytes, delimiter: bytes, start: int) -> int:
    found = body.find(delimiter, start)
    if found < 0:
        raise ValueError("it ends before its closing boundary")
    return found


def read_part(body: bytes, part: Part) -> tuple[str, str | bytes] | None:
    """None for an empty file without a name: a browser sends that if no file was chosen."""
    headers = read_headers(part.head)
    parameters = read_parameters(headers.get("content-disposition", b""))
    if "name" not in parameters:
        raise ValueError("a part has no name in its Content-Disposition")
    encoding = headers.get("content-transfer-encoding", b"binary").lower()
    if encoding not in (b"7bit", b"8bit", b"binary"):
        raise ValueError(
            f"a part has the Content-Transfer-Encoding {encoding[:40].decode('latin-1')}: send it as it is"
        )
    content = bytes(memoryview(body)[part.start : part.end])
    name = parameters["name"].decode()
    if "filename" not in parameters and "filename*" not in parameters:
        return name, content.decode()
    return (name, content) if content or parameters.get("filename") else None


def read_headers(head: bytes) -> dict[str, bytes]:
    """By name in lower case."""
    headers = {}
    for line in head.split(b"\r\n") if head else ():
        name, colon, value = line.partition(b":")
        if not colon or not name.strip():
            raise ValueError("a line of a part's headers has no colon")
        headers[name.strip().lower().decode("latin-1")] = value.strip()
    return headers


def read_parameters(value: bytes) -> dict[str, bytes]:
    """The parameters of a header's value, by name in lower case."""
    found = {}
    for name, text in _PARAMETER.findall(value):
        key = name.lower().decode("ascii")
        if key in found:
            raise ValueError(f"a header gives its parameter {key} twice")
        # A browser escapes a quote as %22 and leaves backslashes, which are part of a Windows path, as they are.
        found[key] = text[1:-1].replace(b'\\"', b'"') if text.startswith(b'"') else text
    return found
