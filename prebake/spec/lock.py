"""``weights.lock`` as a value: every file of every checkpoint pinned, and the base image's digest.

The text is canonical JSON (sorted keys, two spaces, newline at its end), so that a diff shows what moved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prebake.errors import LockMismatch, Problem, newer_schema
from prebake.spec.system import NO_SYSTEM, LockedSystem, parse_system

SCHEMA = 1
RELOCK = "run `prebake lock --model {name}` and review the difference"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedFile:
    """One file of a checkpoint, pinned.

    ``path`` is its place in the checkpoint (and, where ``ship`` is true, under /models in the image); ``source`` names
    kind and origin (``hub:owner/name``), ``revision`` what that origin was pinned to, ``locator`` the file there.
    """

    path: str
    source: str
    revision: str
    locator: str
    size: int
    sha256: str
    licence: str
    ship: bool


@dataclass(frozen=True)
class LockedLayer:
    """A layer of published files, known before a byte of it is here.

    ``files`` are sha256 by path in the checkpoint, so that it holds for these very bytes alone; ``digest`` (``sha256:…``)
    and ``size`` (bytes) are those of its plain tar; ``packed`` is the part of that size to which zstd took samples.
    """

    files: Mapping[str, str]
    digest: str
    size: int
    packed: float


@dataclass(frozen=True)
class LockedCheckpoint:
    """``layers`` is empty in a lock that an earlier version wrote: then a layer is known once it was made."""

    licence: str
    files: tuple[LockedFile, ...]
    layers: tuple[LockedLayer, ...] = ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class LockedBase:
    """The base image that the serving stage stands on, by reference and digest (``sha256:…``)."""

    reference: str
    digest: str


@dataclass(frozen=True)
class Lock:
    base: LockedBase
    checkpoints: Mapping[str, LockedCheckpoint] = field(default_factory=dict)
    system: LockedSystem = NO_SYSTEM


def parse_lock(text: str, where: str) -> Lock:
    """Read a lock's text. Raises LockMismatch with every fault found."""
    name = where.split("/")[-2] if "/" in where else "NAME"
    problems: list[Problem] = []
    try:
        document = json.loads(text)
    except ValueError as error:
        problems.append(Problem(where, f"is not JSON: {error}"))
        document = None
    lock = _lock(document, where, problems) if document is not None else None
    if problems or lock is None:
        raise LockMismatch(f"{where} cannot be used:", problems, next_action=RELOCK.format(name=name))
    return lock


def render_lock(lock: Lock) -> str:
    """The canonical text of a lock."""
    document = {
        "schema": SCHEMA,
        "base": asdict(lock.base),
        "checkpoints": {
            name: {
                "licence": checkpoint.licence,
                "files": [asdict(file) for file in sorted(checkpoint.files, key=lambda file: file.path)],
                **({"layers": [asdict(layer) for layer in checkpoint.layers]} if checkpoint.layers else {}),
            }
            for name, checkpoint in lock.checkpoints.items()
        },
        **({"system": lock.system.document()} if lock.system.names else {}),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _lock(document: Any, where: str, problems: list[Problem]) -> Lock | None:
    if not isinstance(document, dict) or document.get("schema") is True or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        what = newer_schema(found, SCHEMA) or f"has schema {found!r}; this version reads {SCHEMA}"
        problems.append(Problem(where, what, "update Prebake" if newer_schema(found, SCHEMA) else ""))
        return None
    base = document.get("base") or {}
    checkpoints = {
        name: LockedCheckpoint(
            licence=str(entry.get("licence", "")),
            files=tuple(
                _file(item, f"{where}: {name}[{index}]", problems) for index, item in enumerate(entry["files"])
            ),
            layers=tuple(
                _layer(item, f"{where}: {name} layers[{index}]", problems)
                for index, item in enumerate(entry.get("layers") or ())
            ),
        )
        for name, entry in (document.get("checkpoints") or {}).items()
    }
    system = parse_system(document.get("system"), where, problems)
    return Lock(LockedBase(str(base.get("reference", "")), str(base.get("digest", ""))), checkpoints, system)


def _layer(item: Mapping[str, Any], where: str, problems: list[Problem]) -> LockedLayer:
    files, digest, size, packed = (item.get(key) for key in ("files", "digest", "size", "packed"))
    if not isinstance(files, dict) or not all(_DIGEST.fullmatch(str(sha256)) for sha256 in files.values()):
        problems.append(Problem(where, f"files should be sha256 by path, found {files!r}"))
        files = {}
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        problems.append(Problem(where, f"digest should be sha256: and 64 hexadecimal digits, found {digest!r}"))
    for key, value, kind in (("size", size, int), ("packed", packed, (int, float))):
        if not isinstance(value, kind):
            problems.append(Problem(where, f"{key} should be a number, found {value!r}"))
    return LockedLayer(files, str(digest), size if isinstance(size, int) else 0, packed or 0.0)


def _file(item: Mapping[str, Any], where: str, problems: list[Problem]) -> LockedFile:
    kinds = {
        "path": str,
        "source": str,
        "revision": str,
        "locator": str,
        "size": int,
        "sha256": str,
        "licence": str,
        "ship": bool,
    }
    for key, kind in kinds.items():
        if not isinstance(item.get(key), kind):
            problems.append(Problem(where, f"{key} should be {kind.__name__}, found {item.get(key)!r}"))
    for key in sorted(set(item) - set(kinds)):
        problems.append(Problem(where, f"unknown key {key!r}"))
    if isinstance(item.get("sha256"), str) and not _DIGEST.fullmatch(item["sha256"]):
        problems.append(Problem(where, f"sha256 should be 64 hexadecimal digits, found {item['sha256']!r}"))
    path = item.get("path")
    if isinstance(path, str) and (path.startswith("/") or ".." in path.split("/")):
        problems.append(Problem(where, f"path {path!r} leaves the checkpoint"))
    return LockedFile(**{key: item.get(key, kind()) for key, kind in kinds.items()})
