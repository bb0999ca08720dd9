"""Both digests of a file in one pass: sha256 identifies it, XXH3 is verified when a container starts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import xxhash

_CHUNK_BYTES = 1 << 22


class Digests(NamedTuple):
    """In lower-case hexadecimal. ``xxh3`` has 128 bits."""

    sha256: str
    xxh3: str


def compute_file_digests(path: Path) -> Digests:
    """Digests of a file, read in chunks of 4 MiB."""
    sha256, xxh3, buffer = hashlib.sha256(), xxhash.xxh3_128(), bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha256.update(view[:count])
            xxh3.update(view[:count])
    return Digests(sha256.hexdigest(), xxh3.hexdigest())


def compute_digests(data: bytes) -> Digests:
    return Digests(hashlib.sha256(data).hexdigest(), xxhash.xxh3_128_hexdigest(data))
