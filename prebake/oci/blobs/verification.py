"""A blob's bytes, compared with its descriptor while they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.blobs import Blob
from prebake.oci.blobs.content import Content


def sized_content(blob: Blob) -> Content:
    """The blob's content. Raises ValueError if there is none, ChecksumMismatch if it has another size."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} has no content")
    if blob.content.size != blob.size:
        raise _mismatch(blob, f"{blob.content.size} bytes", f"{blob.size}")
    return blob.content


def verified_chunks(blob: Blob) -> Iterator[memoryview]:
    """All bytes in one pass. A chunk is valid until the next one is read.

    Raises as ``sized_content`` does, and ChecksumMismatch after the last chunk if the bytes do not match the digest.
    """
    digest = hashlib.sha256()
    for chunk in sized_content(blob).chunks():
        digest.update(chunk)
        yield chunk
    if (computed := f"sha256:{digest.hexdigest()}") != blob.digest:
        raise _mismatch(blob, computed, blob.digest)


def _mismatch(blob: Blob, actual: str, expected: str) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"The content of the blob {blob.digest} has changed: {actual} instead of {expected}.",
        next_action="build again: its files were changed or are damaged",
    )
