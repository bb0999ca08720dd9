"""``weights.lock`` as a value: every file of every checkpoint, the system packages and the base image, by digest.

The text is canonical JSON (sorted keys, two spaces, newline at its end), so that a diff shows what changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prebake.errors import LockMismatch, Problem, SchemaOutdated, newer_schema, older_schema
from prebake.spec.image.system_packages import NO_SYSTEM, LockedSystem, parse_system
from prebake.spec.json_file import read_json

LOCK_SCHEMA = 2
"""The schema of weights.lock that this version reads and writes."""
RELOCK = "run `prebake lock --model {name}` and review the difference"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedFile:
    """One locked file of a checkpoint.

    path: in the checkpoint and, with ``ship``, under /models in the image. source: kind and origin, as ``hub:owner/name``.
    revision: the locked revision of the origin. locator: the file's path or URL there. size: in bytes.
    """

    path: str
    source: str
    revision: str
    locator: str
    size: int
    sha256: str
    license: str
    ship: bool


@dataclass(frozen=True)
class LockedLayer:
    """A layer of published files, so that its digest is known before any file is downloaded.

    files: sha256 by path in the checkpoint; the layer is valid for these bytes only. digest (``sha256:…``), size (bytes): of the
    uncompressed tar. zstd_ratio: compressed size over plain size of zstd's samples of it.
    """

    files: Mapping[str, str]
    digest: str
    size: int
    zstd_ratio: float


@dataclass(frozen=True)
class LockedCheckpoint:
    """One locked checkpoint. Without ``layers`` a layer's digest is known after its first build only."""

    license: str
    files: tuple[LockedFile, ...]
    layers: tuple[LockedLayer, ...] = ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class LockedBase:
    """The base image of the served image, by reference and digest (``sha256:…``)."""

    reference: str
    digest: str


@dataclass(frozen=True)
class Lock:
    base: LockedBase
    checkpoints: Mapping[str, LockedCheckpoint] = field(default_factory=dict)
    system: LockedSystem = NO_SYSTEM


def parse_lock(text: str, where: str) -> Lock:
    """Read a lock's text. Raises LockMismatch with every fault, or SchemaOutdated."""
    name = where.split("/")[-2] if "/" in where else "NAME"
    document, problems = read_json(text, where)
    lock = None if problems else _lock(document, where, problems)
    if problems or lock is None:
        raise LockMismatch(f"{where} cannot be used:", problems, next_action=RELOCK.format(name=name))
    return lock


def render_lock(lock: Lock) -> str:
    """The canonical text of a lock."""
    document = {
        "schema": LOCK_SCHEMA,
        "base": asdict(lock.base),
        "checkpoints": {
            name: {
                "license": checkpoint.license,
                "files": [asdict(file) for file in sorted(checkpoint.files, key=lambda file: file.path)],
                **({"layers": [asdict(layer) for layer in checkpoint.layers]} if checkpoint.layers else {}),
            }
            for name, checkpoint in lock.checkpoints.items()
        },
        **({"system_packages": lock.system.to_document()} if lock.system.names else {}),
    }
    return lock_text(document)


def lock_text(document: Mapping[str, Any]) -> str:
    """A lock's document as canonical JSON."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _lock(document: Any, where: str, problems: list[Problem]) -> Lock | None:
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if older := older_schema(found, LOCK_SCHEMA):
        raise SchemaOutdated([Problem(where, older)])
    if isinstance(found, bool) or found != LOCK_SCHEMA:
        newer = newer_schema(found, LOCK_SCHEMA)
        what = newer or f"has schema {found!r}; this version reads {LOCK_SCHEMA}"
        problems.append(Problem(where, what, "update Prebake" if newer else ""))
        return None
    base = _mapping(document.get("base", {}), f"{where}: base", problems)
    for key in ("reference", "digest"):
        if not isinstance(base.get(key, ""), str):
            problems.append(Problem(f"{where}: base", f"{key} should be str, found {base[key]!r:.80}"))
    entries = _mapping(document.get("checkpoints", {}), f"{where}: checkpoints", problems)
    checkpoints = {name: _checkpoint(name, entry, where, problems) for name, entry in entries.items()}
    system = parse_system(document.get("system_packages"), where, problems)
    return Lock(LockedBase(str(base.get("reference", "")), str(base.get("digest", ""))), checkpoints, system)


def _checkpoint(name: str, entry: Any, where: str, problems: list[Problem]) -> LockedCheckpoint:
    if not (entry := _mapping(entry, f"{where}: {name}", problems)):
        problems.append(Problem(f"{where}: {name}", "has no files"))
        return LockedCheckpoint("", ())
    if not isinstance(entry.get("license", ""), str):
        problems.append(Problem(f"{where}: {name}", f"license should be str, found {entry['license']!r:.80}"))
    files = _mappings(entry.get("files"), f"{where}: {name}", problems)
    layers = _mappings(entry.get("layers", []), f"{where}: {name} layers", problems)
    return LockedCheckpoint(
        license=str(entry.get("license", "")),
        files=tuple(_file(item, place, problems) for place, item in files),
        layers=tuple(_layer(item, place, problems) for place, item in layers),
    )


def _mapping(value: Any, where: str, problems: list[Problem]) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    problems.append(Problem(where, f"should be a mapping, found {value!r:.80}"))
    return {}


def _mappings(value: Any, where: str, problems: list[Problem]) -> list[tuple[str, Mapping[str, Any]]]:
    """The elements of a list, each with its place."""
    if not isinstance(value, list):
        problems.append(Problem(where, f"should have a list of files or layers, found {value!r:.80}"))
        return []
    for index, item in enumerate(value):
        _mapping(item, f"{where}[{index}]", problems)
    return [(f"{where}[{index}]", item) for index, item in enumerate(value) if isinstance(item, dict)]


def _layer(item: Mapping[str, Any], where: str, problems: list[Problem]) -> LockedLayer:
    files, digest, size, zstd_ratio = (item.get(key) for key in ("files", "digest", "size", "zstd_ratio"))
    if not isinstance(files, dict) or not all(_DIGEST.fullmatch(str(sha256)) for sha256 in files.values()):
        problems.append(Problem(where, f"files should be sha256 by path, found {files!r}"))
        files = {}
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        problems.append(Problem(where, f"digest should be sha256: and 64 hexadecimal digits, found {digest!r}"))
    for key, value, kind in (("size", size, int), ("zstd_ratio", zstd_ratio, (int, float))):
        if not isinstance(value, kind) or isinstance(value, bool):
            problems.append(Problem(where, f"{key} should be a number, found {value!r}"))
    return LockedLayer(files, str(digest), size if isinstance(size, int) else 0, zstd_ratio or 0.0)


def _file(item: Mapping[str, Any], where: str, problems: list[Problem]) -> LockedFile:
    kinds = {
        "path": str,
        "source": str,
        "revision": str,
        "locator": str,
        "size": int,
        "sha256": str,
        "license": str,
        "ship": bool,
    }
    for key, kind in kinds.items():
        if not isinstance(item.get(key), kind) or (kind is int and isinstance(item[key], bool)):
            problems.append(Problem(where, f"{key} should be {kind.__name__}, found {item.get(key)!r}"))
    for key in sorted(set(item) - set(kinds)):
        problems.append(Problem(where, f"unknown key {key!r}"))
    if isinstance(item.get("sha256"), str) and not _DIGEST.fullmatch(item["sha256"]):
        problems.append(Problem(where, f"sha256 should be 64 hexadecimal digits, found {item['sha256']!r}"))
    path = item.get("path")
    if isinstance(path, str) and (path.startswith("/") or ".." in path.split("/")):
        problems.append(Problem(where, f"path {path!r} leaves the checkpoint"))
    return LockedFile(**{key: item.get(key, kind()) for key, kind in kinds.items()})
