"""A layer read back: its plain tar's digest, its members, and how they differ from those that ``tar.py`` writes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, NamedTuple, Protocol, cast

import zstandard

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs import Blob, Descriptor

_BLOCK = 64 << 10  # bytes: tarfile copies what it has of a block at every header
_KEPT_LIMIT = 64 << 20  # bytes of a member that are held
BEGINNING = 256 << 10
"""Bytes of a layer that ``begins_as_tar`` wants: more than one compressed block of zstd."""
_MAGIC = (257, b"ustar")  # offset and bytes of a tar's first header (POSIX pax, "ustar Interchange Format")
DAMAGE = (tarfile.TarError, zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError)
"""What bytes raise that cannot be unpacked."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class Member(NamedTuple):
    """A member of a layer's tar that is no folder. ``path`` has no slash in front; ``sha256`` is that of a file which
    was to be hashed, else empty."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FoundLayer:
    """What a layer was found to hold. ``diff`` is its plain tar's digest; ``fault`` says what is wrong with its bytes,
    ``odd`` which members are not as Prebake writes them; ``kept`` are the bytes of the member that was asked for."""

    descriptor: Descriptor
    diff: str = ""
    members: tuple[Member, ...] = ()
    fault: str = ""
    odd: tuple[str, ...] = ()
    kept: bytes | None = None


def read_layer(blob: Blob, hashed: tuple[str, ...], keep: str) -> FoundLayer:
    """One pass over a layer: files below ``hashed`` are hashed, the bytes of the one at ``keep`` are kept. What cannot be
    unpacked is a fault of the layer, and so are bytes that are not its digest's."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} is not here")
    packed = _Chunks(blob.content.chunks())
    plain = _Digested(_unpacked(packed, blob.descriptor.media_type))
    members: list[Member] = []
    odd: list[str] = []
    kept, fault = None, ""
    try:
        with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=_BLOCK) as tar:
            for info in tar:
                member, data = _read_member(tar, info, hashed, keep)
                kept = kept if data is None else data
                members += [] if info.isdir() else [member]
                odd += [f"{member.path} ({what})" for what in [_oddity(info)] if what]
        _drain(plain)
    except ChecksumMismatch as error:
        fault = error.message
    except DAMAGE as error:
        fault = _damage(packed) or f"cannot be unpacked: {error}"
    return FoundLayer(blob.descriptor, plain.digest, tuple(members), fault, tuple(odd), kept)


def files_of(blob: Blob) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The files of a layer in one pass: path (no slash in front), bytes, and a stream that is read before the next. How it is
    packed is read from its bytes, as ORAS gives a folder's layer any media type.

    Raises DAMAGE, and ChecksumMismatch, at the end, where the bytes are not the digest's.
    """
    if blob.content is None:
        raise ValueError(f"{blob.digest} is not here")
    packed = _Chunks(blob.content.chunks())
    plain = _unpacked(packed, _packing(packed.peek()))
    with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=_BLOCK) as tar:
        for info in tar:
            stream = tar.extractfile(info) if info.isreg() else None
            if stream is not None:
                yield str(PurePosixPath("/", info.name)).lstrip("/"), info.size, stream
    _drain(plain)
    _drain(packed)


def begins_as_tar(data: bytes) -> bool:
    """Whether the first bytes of a blob, BEGINNING at most, are those of a tar, plain or compressed by gzip or zstd."""
    start, magic = _MAGIC
    plain = _unpacked(io.BytesIO(data), _packing(data))
    try:
        return plain.read(start + len(magic))[start:] == magic
    except DAMAGE:
        return False


def _packing(data: bytes) -> str:
    """How bytes are compressed, by how they begin (RFC 1952, RFC 8878); empty if they are not."""
    return "gzip" if data.startswith(b"\x1f\x8b") else "zstd" if data.startswith(b"\x28\xb5\x2f\xfd") else ""


def _read_member(
    tar: tarfile.TarFile, info: tarfile.TarInfo, hashed: tuple[str, ...], keep: str
) -> tuple[Member, bytes | None]:
    """With its bytes, where they are to be kept. Names are compared as they are unpacked."""
    path = str(PurePosixPath("/", info.name)).lstrip("/")
    file = tar.extractfile(info) if info.isreg() and (path == keep or path.startswith(hashed)) else None
    if file is None:
        return Member(path, info.size, ""), None
    if path == keep and info.size <= _KEPT_LIMIT:
        data = file.read()
        return Member(path, info.size, hashlib.sha256(data).hexdigest()), data
    return Member(path, info.size, hashlib.file_digest(file, "sha256").hexdigest()), None  # type: ignore[arg-type]


def _oddity(info: tarfile.TarInfo) -> str:
    """How a member differs from those of ``tar.py``; whiteouts delete what lies below (OCI layer.md)."""
    if not (info.isreg() or info.isdir() or info.issym()):
        return "neither file, folder nor symbolic link"
    if PurePosixPath(info.name).name.startswith(".wh.") or ".." in PurePosixPath(info.name).parts:
        return "a name that no file has"
    if (info.uid, info.gid) != (0, 0):
        return f"owner {_claim('0:0', f'{info.uid}:{info.gid}')}"
    if info.mtime != 0:
        return f"time {_claim(0, info.mtime)}"
    modes = (0o777,) if info.issym() else (0o555,) if info.isdir() else (0o444, 0o555)
    expected = " or ".join(f"{mode:04o}" for mode in modes)
    return "" if info.mode in modes else f"mode {_claim(expected, f'{info.mode:04o}')}"


class _Chunks(io.RawIOBase):
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def peek(self) -> bytes:
        """The bytes that are read next, some of them; empty at the end."""
        self._fill()
        return bytes(self._rest[:_BLOCK])

    def read(self, size: int = -1, /) -> bytes:
        """Whatever is at hand, ``size`` at most: who reads asks again."""
        self._fill()
        size = len(self._rest) if size < 0 else size
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)

    def _fill(self) -> None:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            self._rest = memoryview(bytes(chunk))


class _Digested:
    """A file, with the digest of what was read of it."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data


def _unpacked(packed: io.RawIOBase | io.BytesIO, media_type: str) -> _Readable:
    """A layer's plain tar. No more of it is unpacked than is asked for."""
    if media_type.endswith("zstd"):
        return zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], packed), read_across_frames=True)
    return gzip.GzipFile(fileobj=packed) if media_type.endswith("gzip") else packed


def _drain(file: _Readable) -> None:
    """What follows the end of an archive counts for digests too."""
    while file.read(_BLOCK):
        pass


def _damage(packed: _Chunks) -> str:
    """Whether a blob that cannot be unpacked is at least what its digest says, once the rest of it is read."""
    try:
        _drain(packed)
    except ChecksumMismatch as error:
        return error.message
    return ""


def _claim(claimed: object, found: object) -> str:
    return f"claimed {claimed}, found {found}"
