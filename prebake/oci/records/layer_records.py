"""Records of layers by cache key, so that a layer's digest is known without making the layer again.

A record is ``records/ab/<key>.json`` under the store's root. It never becomes wrong, since a key covers every input of its layer.
The objects that it names may be gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prebake.errors import newer_schema
from prebake.io.atomic_write import write_text
from prebake.io.log import log_to_stderr

SCHEMA = 2


@dataclass(frozen=True)
class FileRecord:
    """A file of a layer by its path in the image (no slash in front); its bytes are the store's object ``sha256``."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class LayerRecord:
    """A layer. ``diff_id`` is the digest of the uncompressed tar; ``digest`` and ``size`` (bytes) are those of the blob.

    ``reason`` says why the blob is compressed or not. With ``files`` the tar can be made from objects of the store; without, the
    blob itself is an object. ``folders`` are those without files.
    """

    diff_id: str
    media_type: str
    digest: str
    size: int
    reason: str
    unpacked: int
    files: tuple[FileRecord, ...] = ()
    folders: tuple[str, ...] = ()


class Records:
    """The records in a store's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "records"

    def layers(self, key: str) -> tuple[LayerRecord, ...] | None:
        """The layers of a key; None if there is no record, or another version wrote it."""
        document = self._read(key)
        return None if document is None else tuple(_layer(layer) for layer in document["layers"])

    def put_layers(self, key: str, layers: tuple[LayerRecord, ...]) -> None:
        self._write(key, {"layers": [asdict(layer) for layer in layers]})

    def files(self, key: str) -> tuple[FileRecord, ...] | None:
        """The files that a stage made for a key; None if there is no record."""
        document = self._read(key)
        return None if document is None else tuple(FileRecord(**file) for file in document["files"])

    def put_files(self, key: str, files: tuple[FileRecord, ...]) -> None:
        self._write(key, {"files": [asdict(file) for file in files]})

    def listed(self, key: str) -> Mapping[str, tuple[FileRecord, ...]]:
        """The files of every member of a list, by the members' keys, in order."""
        members = {}
        for path in sorted(self._list(key).glob("*.json")):
            document = _load(path)
            if not path.name.startswith(".") and document is not None:
                members[path.stem] = tuple(FileRecord(**file) for file in document["files"])
        return members

    def list_files(self, key: str, member: str, files: tuple[FileRecord, ...]) -> None:
        """Add a member to a list, or replace it. Each member has its own file, so that two processes cannot lose one."""
        _save(self._list(key) / f"{member}.json", {"files": [asdict(file) for file in files]})

    def keys(self) -> list[str]:
        """The keys of all records and lists, in order."""
        keys = {path.stem for path in self._root.glob("??/*.json") if not path.name.startswith(".")}
        return sorted(keys | {path.name for path in self._root.glob("lists/??/*")})

    def objects(self, key: str) -> frozenset[str]:
        """The sha256 of every object that a record names: files, and blobs that are kept whole."""
        document = self._read(key) or {}
        members = {file.sha256 for files in self.listed(key).values() for file in files}
        layers = document.get("layers", [])
        files = [*document.get("files", []), *(file for layer in layers for file in layer["files"])]
        blobs = {layer["digest"].removeprefix("sha256:") for layer in layers}
        return frozenset(blobs | members | {file["sha256"] for file in files})

    def _place(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.json"

    def _list(self, key: str) -> Path:
        return self._root / "lists" / key[:2] / key

    def _read(self, key: str) -> Mapping[str, Any] | None:
        return _load(self._place(key))

    def _write(self, key: str, document: Mapping[str, Any]) -> None:
        _save(self._place(key), document)


def _load(place: Path) -> Mapping[str, Any] | None:
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    schema = document.get("schema") if isinstance(document, dict) else None
    if newer := newer_schema(schema, SCHEMA):
        _log_newer(newer, place)
    return document if schema == SCHEMA else None


@cache
def _log_newer(newer: str, place: Path) -> None:
    """Once for each record."""
    log_to_stderr(f"record: {place} {newer}; its layers are built again")


def _save(place: Path, document: Mapping[str, Any]) -> None:
    write_text(place, json.dumps({"schema": SCHEMA, **document}, indent=1) + "\n")


def _layer(document: Mapping[str, Any]) -> LayerRecord:
    files = tuple(FileRecord(**file) for file in document["files"])
    return LayerRecord(**{**document, "files": files, "folders": tuple(document["folders"])})
