"""A layer's content, read back: the digest of its uncompressed tar, its members, and those that ``tar.py`` would not write."""

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
from prebake.oci.blobs.blobs import Blob, Descriptor

_BLOCK_BYTES = 64 << 10  # tarfile copies the rest of a block at every header
_MAX_KEPT_BYTES = 64 << 20  # of a member whose bytes are returned
PROBE_BYTES = 256 << 10
"""The bytes of a layer that ``is_tar_start`` needs: more than one compressed block of zstd."""
_MAGIC = (257, b"ustar")  # offset and bytes of a tar's first header (POSIX pax, "ustar Interchange Format")
UNPACK_ERRORS = (tarfile.TarError, zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError)
"""The exceptions of a layer that cannot be decompressed or is no tar."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class Member(NamedTuple):
    """A member of a layer's tar, other than a folder. ``path`` has no leading slash; ``sha256`` is empty unless the file had
    to be hashed."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class LayerContents:
    """``diff_id`` is the digest of the uncompressed tar; ``fault`` is the error of a damaged layer; ``irregular`` are members
    that Prebake would not write, with the reason; ``kept`` are the bytes of the requested member."""

    descriptor: Descriptor
    diff_id: str = ""
    members: tuple[Member, ...] = ()
    fault: str = ""
    irregular: tuple[str, ...] = ()
    kept: bytes | None = None


def read_layer(blob: Blob, hashed: tuple[str, ...], keep: str) -> LayerContents:
    """Read a layer in one pass. Files below ``hashed`` are hashed, and the bytes of the file ``keep`` are kept. A layer that
    cannot be decompressed, or does not match its digest, has a ``fault``."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} has no content")
    packed = _Chunks(blob.content.chunks())
    plain = _Digested(_decompressed(packed, blob.descriptor.media_type))
    members: list[Member] = []
    irregular: list[str] = []
    kept, fault = None, ""
    try:
        with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=_BLOCK_BYTES) as tar:
            for info in tar:
                member, data = _read_member(tar, info, hashed, keep)
                kept = kept if data is None else data
                members += [] if info.isdir() else [member]
                irregular += [f"{member.path} ({reason})" for reason in [_irregularity(info)] if reason]
        _drain(plain)
    except ChecksumMismatch as error:
        fault = error.message
    except UNPACK_ERRORS as error:
        fault = _damage(packed) or f"cannot be unpacked: {error}"
    return LayerContents(
        descriptor=blob.descriptor,
        diff_id=plain.digest,
        members=tuple(members),
        fault=fault,
        irregular=tuple(irregular),
        kept=kept,
    )


def read_files(blob: Blob) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The files of a layer in one pass: path (no leading slash), size in bytes, and a stream, which is valid until the next file.
    The compression is read from the bytes, since ORAS gives a folder's layer any media type.

    Raises UNPACK_ERRORS, and ChecksumMismatch at the end if the bytes do not match the digest.
    """
    if blob.content is None:
        raise ValueError(f"{blob.digest} has no content")
    packed = _Chunks(blob.content.chunks())
    plain = _decompressed(packed, _compression_of(packed.peek()))
    with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=_BLOCK_BYTES) as tar:
        for info in tar:
            stream = tar.extractfile(info) if info.isreg() else None
            if stream is not None:
                yield str(PurePosixPath("/", info.name)).lstrip("/"), info.size, stream
    _drain(plain)
    _drain(packed)


def is_tar_start(data: bytes) -> bool:
    """Whether a blob's first bytes, at most PROBE_BYTES, are those of a tar, uncompressed or compressed by gzip or zstd."""
    start, magic = _MAGIC
    plain = _decompressed(io.BytesIO(data), _compression_of(data))
    try:
        return plain.read(start + len(magic))[start:] == magic
    except UNPACK_ERRORS:
        return False


def _compression_of(data: bytes) -> str:
    """gzip or zstd by the first bytes (RFC 1952, RFC 8878); empty for neither."""
    return "gzip" if data.startswith(b"\x1f\x8b") else "zstd" if data.startswith(b"\x28\xb5\x2f\xfd") else ""


def _read_member(
    tar: tarfile.TarFile, info: tarfile.TarInfo, hashed: tuple[str, ...], keep: str
) -> tuple[Member, bytes | None]:
    """A member, and its bytes if they are kept. Paths are compared as tar unpacks them."""
    path = str(PurePosixPath("/", info.name)).lstrip("/")
    file = tar.extractfile(info) if info.isreg() and (path == keep or path.startswith(hashed)) else None
    if file is None:
        return Member(path, info.size, ""), None
    if path == keep and info.size <= _MAX_KEPT_BYTES:
        data = file.read()
        return Member(path, info.size, hashlib.sha256(data).hexdigest()), data
    return Member(path, info.size, hashlib.file_digest(file, "sha256").hexdigest()), None  # type: ignore[arg-type]


def _irregularity(info: tarfile.TarInfo) -> str:
    """How a member differs from those that ``tar.py`` writes. A whiteout deletes files of the layers below (OCI layer.md)."""
    if not (info.isreg() or info.isdir() or info.issym()):
        return "not a file, folder or symbolic link"
    if PurePosixPath(info.name).name.startswith(".wh.") or ".." in PurePosixPath(info.name).parts:
        return "an invalid file name"
    if (info.uid, info.gid) != (0, 0):
        return f"owner {_claim('0:0', f'{info.uid}:{info.gid}')}"
    if info.mtime != 0:
        return f"time {_claim(0, info.mtime)}"
    modes = (0o777,) if info.issym() else (0o555,) if info.isdir() else (0o444, 0o555)
    expected = " or ".join(f"{mode:04o}" for mode in modes)
    return "" if info.mode in modes else f"mode {_claim(expected, f'{info.mode:04o}')}"


class _Chunks(io.RawIOBase):
    """Chunks as a file that can be read once."""

    def __init__(self, chunks: Iterator[memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def peek(self) -> bytes:
        """Some of the bytes that are read next; empty at the end."""
        self._fill()
        return bytes(self._rest[:_BLOCK_BYTES])

    def read(self, size: int = -1, /) -> bytes:
        """The rest of the current chunk, at most ``size`` bytes; callers read again."""
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
    """A file, and the digest of the bytes that were read from it."""

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


def _decompressed(packed: io.RawIOBase | io.BytesIO, media_type: str) -> _Readable:
    """A layer's uncompressed tar. Only the bytes that are read are decompressed."""
    if media_type.endswith("zstd"):
        return zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], packed), read_across_frames=True)
    return gzip.GzipFile(fileobj=packed) if media_type.endswith("gzip") else packed


def _drain(file: _Readable) -> None:
    """Bytes after the end of an archive count for its digest, too."""
    while file.read(_BLOCK_BYTES):
        pass


def _damage(packed: _Chunks) -> str:
    """The error of a digest that does not match, after the rest of a blob that cannot be decompressed is read; else empty."""
    try:
        _drain(packed)
    except ChecksumMismatch as error:
        return error.message
    return ""


def _claim(claimed: object, actual: object) -> str:
    return f"claimed {claimed}, found {actual}"
