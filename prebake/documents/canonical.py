"""Canonical JSON and digests: the same value gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

SEAL = "digest"
_CHUNK_BYTES = 1 << 22


def canonical_json(value: object) -> bytes:
    """The form of every JSON document whose bytes are compared, digested or signed: sorted keys, no blanks, UTF-8 without
    escapes, a newline at the end. Cache keys, manifests of models, and OCI configs, manifests and indexes have it; OCI leaves the
    form to the writer. Raises ValueError for not-a-number and infinity, which JSON cannot express."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def digest_json(value: object) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def seal(document: Mapping[str, object]) -> bytes:
    """Canonical JSON of ``document`` and, as its ``digest``, the sha256 of the document without it. The model manifest is sealed,
    since no other file holds its digest."""
    rest = without_seal(document)
    return canonical_json({**rest, SEAL: digest_json(rest)})


def without_seal(document: Mapping[str, object]) -> dict[str, object]:
    """The document as it was sealed."""
    return {name: value for name, value in document.items() if name != SEAL}


def digest_bytes(data: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file, in hex, read in chunks of 4 MiB."""
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def digest_sources(*folders: Path) -> str:
    """The revision of code: sha256 over every Python file under ``folders``, sub-packages included, with each folder's name and
    each file's path, length and bytes."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
            data = path.read_bytes()
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()
