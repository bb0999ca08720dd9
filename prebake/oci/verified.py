"""A blob's bytes, held against its descriptor on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs import Blob
from prebake.oci.content import Content


def sized_content(blob: Blob) -> Content:
    """What the blob is made of. Raises ValueError where that is not here, ChecksumMismatch where it has another size."""
    if blob.content is None:
        raise ValueError(f"{blob.digest} is not here")
    if blob.content.size != blob.size:
        raise _mismatch(blob, f"{blob.content.size} bytes", f"{blob.size}")
    return blob.content


def verified_chunks(blob: Blob) -> Iterator[memoryview]:
    """All of it in one pass; a chunk is valid until the next one is asked for.

    Raises as ``sized_content`` does, and ChecksumMismatch after the last chunk where they are not the digest's bytes.
    """
    digest = hashlib.sha256()
    for chunk in sized_content(blob).chunks():
        digest.update(chunk)
        yield chunk
    if (found := f"sha256:{digest.hexdigest()}") != blob.digest:
        raise _mismatch(blob, found, blob.digest)


def _mismatch(blob: Blob, found: str, expected: str) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"The blob {blob.digest} is made of other bytes now: {found} instead of {expected}.",
        next_action="build again: what it is made of was changed or is damaged",
    )
