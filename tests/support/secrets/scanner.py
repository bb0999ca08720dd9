"""Finds marks in bytes and files: as they are, in other encodings, and within archives and compressed streams."""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import zstandard

from tests.support.secrets.marks import PREFIX

CHUNK_BYTES = 4 << 20
SHOWN_BYTES = 80
MAX_DEPTH = 6
"""Of archives within archives."""


def encode_base64(text: bytes) -> list[bytes]:
    """What is the same in the base64 of any text that contains this one: it may begin at each of three places of a group."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text)
        # The first characters also have bits of what is before, the last ones of what follows.
        begin, end = (0, 2, 3)[before], len(encoded) - (4 if (before + len(text)) % 3 else 0)
        found += [encoded[begin:end], encoded[begin:end].translate(bytes.maketrans(b"+/", b"-_"))]
    return found


def list_forms(text: str = PREFIX) -> Mapping[bytes, str]:
    """The encodings of the beginning of a mark, and their names."""
    plain = text.encode()
    percent = "".join(f"%{byte:02x}" for byte in plain)
    forms = dict.fromkeys(encode_base64(plain), "base64")
    forms |= {percent.encode(): "percent-encoded", percent.upper().encode(): "percent-encoded"}
    forms |= {plain.hex().encode(): "hexadecimal", plain.hex().upper().encode(): "hexadecimal"}
    forms |= {text.encode("utf-16-le"): "UTF-16", text.encode("utf-16-be"): "UTF-16"}
    return {**forms, plain: "plain"}


FORMS = list_forms()
OVERLAP_BYTES = max(map(len, FORMS))


def scan_bytes(content: bytes, name: str = "text") -> list[str]:
    """Where the content has a mark, one line for each form and place. Archives are opened."""
    return list(scan_stream(io.BytesIO(content), name))


def scan_folder(folder: Path) -> list[str]:
    """Of all files below, and of their names."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found += find_forms(name.encode(errors="replace"), f"the name {name}")
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found += scan_stream(file, name)
    return found


def scan_stream(file: IO[bytes], name: str, depth: int = 0) -> Iterator[str]:
    """The file has to be seekable: it is read as it is, and then as what it contains."""
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        yield from find_forms(rest + chunk, name)
        rest = chunk[-OVERLAP_BYTES:]
    if depth == MAX_DEPTH:
        return
    for kind, read in READERS.items():
        file.seek(0)
        if is_kind(file, kind):
            file.seek(0)
            try:
                yield from read(file, f"{name}, {kind}", depth + 1)
            except (
                OSError,
                EOFError,
                tarfile.TarError,
                zipfile.BadZipFile,
                zlib.error,
                lzma.LZMAError,
                zstandard.ZstdError,
            ):
                continue  # it only begins like one


def find_forms(content: bytes, name: str) -> list[str]:
    found = []
    for form, title in FORMS.items():
        place = content.find(form)
        if place >= 0:
            found.append(f"{name}: {title}: {content[place : place + SHOWN_BYTES]!r}")
    return found


def is_kind(file: IO[bytes], kind: str) -> bool:
    begin = file.read(512)
    match kind:
        case "gzip":
            return begin[:2] == b"\x1f\x8b"
        case "zstd":
            return begin[:4] == b"\x28\xb5\x2f\xfd"
        case "zlib":
            return begin[:1] == b"\x78" and int.from_bytes(begin[:2]) % 31 == 0
        case "xz":
            return begin[:6] == b"\xfd7zXZ\0"
        case "zip":
            return begin[:4] == b"PK\x03\x04"
        case _:
            return begin[257:262] == b"ustar"


def read_gzip(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    with gzip.GzipFile(fileobj=file) as content:
        yield from scan_copy(content, name, depth)


def read_zstd(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False, read_across_frames=True) as content:
        yield from scan_copy(content, name, depth)


def read_zlib(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    yield from scan_stream(io.BytesIO(zlib.decompressobj().decompress(file.read())), name, depth)


def read_xz(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    with lzma.LZMAFile(file) as content:
        yield from scan_copy(content, name, depth)


def read_tar(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    """Only members that are compressed themselves: the bytes of the others have been read already."""
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None and any(is_kind_of(content, kind) for kind in READERS):
                yield from scan_stream(content, f"{name}, {member.name}", depth)


def read_zip(file: IO[bytes], name: str, depth: int) -> Iterator[str]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as content:
                yield from scan_copy(content, f"{name}, {member.filename}", depth)


def is_kind_of(file: IO[bytes], kind: str) -> bool:
    file.seek(0)
    try:
        return is_kind(file, kind)
    finally:
        file.seek(0)


def scan_copy(content: IO[bytes] | gzip.GzipFile, name: str, depth: int) -> Iterator[str]:
    """A decompressed stream, which can be read only once, as a seekable file."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(content, copy, CHUNK_BYTES)
        copy.seek(0)
        yield from scan_stream(copy, name, depth)


READERS: Mapping[str, Callable[[IO[bytes], str, int], Iterator[str]]] = {
    "gzip": read_gzip,
    "zstd": read_zstd,
    "zlib": read_zlib,
    "xz": read_xz,
    "zip": read_zip,
    "tar": read_tar,
}
