"""Canonical JSON and digests: the same value gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

SEAL = "digest"
_CHUNK = 1 << 22


def canonical_json(value: object) -> bytes:
    """Sorted keys, no blanks, UTF-8, a newline at the end. Not-a-number and infinity raise ValueError."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def digest_json(value: object) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sealed(document: Mapping[str, object]) -> bytes:
    """Canonical JSON of an object that has as its ``digest`` the sha256 of itself without that: the manifest, which no other
    file vouches for."""
    rest = without_seal(document)
    return canonical_json({**rest, SEAL: digest_json(rest)})


def without_seal(document: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name != SEAL}


def digest_bytes(data: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file, in hex, read in pieces of 4 MiB."""
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def digest_sources(folder: Path) -> str:
    """sha256 over every Python file under ``folder``: its relative path, its length, its bytes. The code's revision."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda each: each.relative_to(folder).as_posix()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
