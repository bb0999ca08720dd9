"""Whether a layer travels packed: a few samples of it are packed, and what they save is weighed against the work."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import zstandard

from prebake.oci.content import Content
from prebake.oci.gzipping import gzip_members

Compression = Literal["auto", "raw", "zstd", "gzip"]
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
Form = Literal["raw", "zstd", "gzip"]
LEVEL = 3
SAMPLES = 8
SAMPLE = 256 << 10
PAYS = 0.90
"""Packed layers larger than this part of the plain ones are not worth the time that every pull spends on unpacking."""


@dataclass(frozen=True)
class Choice:
    """The form that a layer travels in, and why, for the report."""

    form: Form
    reason: str


@dataclass(frozen=True)
class Packed:
    """``digest`` (``sha256:…``) and ``size`` (bytes) of what was written; ``diff`` is the plain tar's digest."""

    digest: str
    size: int
    diff: str


def choose(content: Content, compression: Compression) -> Choice:
    """The form of one layer."""
    return decide(probe(content) if compression == "auto" else 1.0, compression)


def decide(part: float, compression: Compression) -> Choice:
    """The form of one layer, if zstd takes it to this part of its size."""
    if compression != "auto":
        return Choice(compression, "asked for")
    saved = f"zstd takes it to {part:.0%} (of samples)"
    return Choice("zstd", saved) if part <= PAYS else Choice("raw", f"{saved}: not worth unpacking at every pull")


def probe(content: Content) -> float:
    """The part of its size that zstd takes samples to, spread evenly over the content; to two decimals, which other
    versions of zstd agree on."""
    pack = zstandard.ZstdCompressor(level=LEVEL).compress
    if content.size <= SAMPLES * SAMPLE:
        samples = [_sample(content, 0, content.size)]
    else:  # from the middle of each part, so that a header does not speak for an eighth of the file
        offsets = [content.size * (2 * part + 1) // (2 * SAMPLES) - SAMPLE // 2 for part in range(SAMPLES)]
        samples = [_sample(content, offset, SAMPLE) for offset in offsets]
    return round(sum(len(pack(sample)) for sample in samples) / max(1, sum(map(len, samples))), 2)


def write_packed(content: Content, form: Form, write: Callable[[bytes], object]) -> Packed:
    """Pack in one pass, on as many threads as there are processors: the bytes do not depend on their number.

    ``form`` is zstd or gzip.
    """
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0

    def read() -> Iterator[memoryview]:
        for chunk in content.chunks():
            plain.update(chunk)
            yield chunk

    for data in gzip_members(read()) if form == "gzip" else _zstd(read(), content.size):
        packed.update(data)
        size += len(data)
        write(data)
    return Packed(f"sha256:{packed.hexdigest()}", size, f"sha256:{plain.hexdigest()}")


def _zstd(chunks: Iterator[memoryview], size: int) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1).compressobj(size=size)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def digest_of(content: Content) -> str:
    """``sha256:…`` of all of it."""
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _sample(content: Content, offset: int, size: int) -> bytes:
    sample = io.BytesIO()
    for chunk in content.chunks(offset):
        sample.write(chunk[: size - sample.tell()])
        if sample.tell() >= size:
            break
    return sample.getvalue()
