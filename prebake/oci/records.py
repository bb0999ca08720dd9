"""What a key was found to become: the layer made of it, so that nobody has to make it again to know its digest.

``records/ab/<key>.json`` under the store's root. A record is right for ever, since a key names everything that its layer
is made of; the bytes it speaks of may be gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prebake.errors import newer_schema
from prebake.process import narrate

SCHEMA = 1


@dataclass(frozen=True)
class FileRecord:
    """A file of a layer by its path in the image (no slash in front); its bytes are the store's object ``sha256``."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class LayerRecord:
    """A layer: ``diff`` is the plain tar's digest, ``digest`` and ``size`` (bytes) those of the blob that manifests name.

    ``reason`` says why it is packed or not. With ``files`` the tar can be made of the store's objects; without, the blob
    itself is an object. ``folders`` are those that hold none of the files.
    """

    diff: str
    media_type: str
    digest: str
    size: int
    reason: str
    unpacked: int
    files: tuple[FileRecord, ...] = ()
    folders: tuple[str, ...] = ()


class Records:
    def __init__(self, root: Path) -> None:
        self._root = root / "records"

    def layers(self, key: str) -> tuple[LayerRecord, ...] | None:
        """The layers made of a key; None where it is not known, or was written by another version."""
        document = self._read(key)
        return None if document is None else tuple(_layer(each) for each in document["layers"])

    def put_layers(self, key: str, layers: tuple[LayerRecord, ...]) -> None:
        self._write(key, {"layers": [asdict(layer) for layer in layers]})

    def files(self, key: str) -> tuple[FileRecord, ...] | None:
        """The files that a step made of a key."""
        document = self._read(key)
        return None if document is None else tuple(FileRecord(**file) for file in document["files"])

    def put_files(self, key: str, files: tuple[FileRecord, ...]) -> None:
        self._write(key, {"files": [asdict(file) for file in files]})

    def listed(self, key: str) -> Mapping[str, tuple[FileRecord, ...]]:
        """The files of every member of a list, by the members' own keys, in order."""
        found = {}
        for path in sorted(self._list(key).glob("*.json")):
            document = _load(path)
            if not path.name.startswith(".") and document is not None:
                found[path.stem] = tuple(FileRecord(**file) for file in document["files"])
        return found

    def list_files(self, key: str, member: str, files: tuple[FileRecord, ...]) -> None:
        """Add a member to a list, or put it anew. Each has a file of its own, so that none is lost to another process."""
        _save(self._list(key) / f"{member}.json", {"files": [asdict(file) for file in files]})

    def unlist(self, key: str, member: str) -> None:
        (self._list(key) / f"{member}.json").unlink(missing_ok=True)

    def keys(self) -> list[str]:
        """Every key on record, and that of every list, in order."""
        found = {path.stem for path in self._root.glob("??/*.json") if not path.name.startswith(".")}
        return sorted(found | {path.name for path in self._root.glob("lists/??/*")})

    def objects(self, key: str) -> frozenset[str]:
        """The sha256 of every object that a record speaks of: files, and blobs that are kept as they are."""
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
        _tell_newer(newer, place)
    return document if schema == SCHEMA else None


@cache
def _tell_newer(newer: str, place: Path) -> None:
    """Once for each record: what it speaks of is made again."""
    narrate(f"record: {place} {newer}; what it speaks of is made again")


def _save(place: Path, document: Mapping[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    half = place.with_name(f".{place.name}.{os.getpid()}")
    half.write_text(json.dumps({"schema": SCHEMA, **document}, indent=1) + "\n", encoding="utf-8")
    half.replace(place)


def _layer(document: Mapping[str, Any]) -> LayerRecord:
    files = tuple(FileRecord(**file) for file in document["files"])
    return LayerRecord(**{**document, "files": files, "folders": tuple(document["folders"])})
