"""A file's two digests, in one reading: sha256 names it everywhere, XXH3 is what a starting container checks it by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import xxhash

_CHUNK = 1 << 22


class Digests(NamedTuple):
    """In lower-case hexadecimal; ``xxh3`` is of 128 bits."""

    sha256: str
    xxh3: str


def digests_of_file(path: Path) -> Digests:
    """Read in pieces of 4 MiB."""
    sha256, xxh3, buffer = hashlib.sha256(), xxhash.xxh3_128(), bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha256.update(view[:count])
            xxh3.update(view[:count])
    return Digests(sha256.hexdigest(), xxh3.hexdigest())


def digests_of_bytes(data: bytes) -> Digests:
    return Digests(hashlib.sha256(data).hexdigest(), xxhash.xxh3_128_hexdigest(data))
