"""Whether a layer is compressed: by how much zstd shrinks a few samples of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import zstandard

from prebake.oci.blobs.content import Content
from prebake.oci.layers.gzip import gzip_members

Compression = Literal["auto", "raw", "zstd", "gzip"]
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
Form = Literal["raw", "zstd", "gzip"]
ZSTD_LEVEL = 3
SAMPLES = 8
SAMPLE_BYTES = 256 << 10
MAX_RATIO = 0.90
"""A layer is compressed if that shrinks it to this part of its size. A smaller saving does not pay for the time of unpacking at
each pull."""


@dataclass(frozen=True)
class FormChoice:
    """A layer's form, and the reason for the report."""

    form: Form
    reason: str


@dataclass(frozen=True)
class PackedLayer:
    """``digest`` (``sha256:…``) and ``size`` in bytes of the compressed layer; ``diff_id`` is the uncompressed tar's digest."""

    digest: str
    size: int
    diff_id: str


def choose_form(content: Content, compression: Compression) -> FormChoice:
    """The form of a layer by its content."""
    return decide_form(estimate_ratio(content) if compression == "auto" else 1.0, compression)


def decide_form(ratio: float, compression: Compression) -> FormChoice:
    """The form of a layer that zstd shrinks to the part ``ratio`` of its size."""
    if compression != "auto":
        return FormChoice(compression, "asked for")
    saved = f"zstd shrinks samples to {ratio:.0%}"
    return (
        FormChoice("zstd", saved)
        if ratio <= MAX_RATIO
        else FormChoice("raw", f"{saved}: too little for the time of unpacking at every pull")
    )


def estimate_ratio(content: Content) -> float:
    """The part of their size to which zstd shrinks samples that are spread evenly over the content; to two decimals, on which
    other versions of zstd agree."""
    pack = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
    if content.size <= SAMPLES * SAMPLE_BYTES:
        samples = [_sample(content, 0, content.size)]
    else:  # from the middle of each eighth, so that no sample is of a header alone
        offsets = [content.size * (2 * part + 1) // (2 * SAMPLES) - SAMPLE_BYTES // 2 for part in range(SAMPLES)]
        samples = [_sample(content, offset, SAMPLE_BYTES) for offset in offsets]
    return round(sum(len(pack(sample)) for sample in samples) / max(1, sum(map(len, samples))), 2)


def write_packed(content: Content, form: Form, write: Callable[[bytes], object]) -> PackedLayer:
    """Compress in one pass, with a thread for each processor; the output does not depend on their number. ``form`` is zstd or
    gzip."""
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0

    def read() -> Iterator[memoryview]:
        for chunk in content.chunks():
            plain.update(chunk)
            yield chunk

    for data in gzip_members(read()) if form == "gzip" else _zstd(read(), content.size):
        packed.update(data)
        size += len(data)
        write(data)
    return PackedLayer(f"sha256:{packed.hexdigest()}", size, f"sha256:{plain.hexdigest()}")


def _zstd(chunks: Iterator[memoryview], size: int) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=-1).compressobj(size=size)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def digest_content(content: Content) -> str:
    """``sha256:…`` of a content."""
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
