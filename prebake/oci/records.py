"""What a key was found to become: the layer made of it, so that nobody has to make it again to know its digest.

``records/ab/<key>.json`` under the store's root. A record is right for ever, since a key names everything that its layer
is made of; the bytes it speaks of may be gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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

    def keys(self) -> list[str]:
        """Every key on record, in order."""
        return sorted(path.stem for path in self._root.glob("??/*.json") if not path.name.startswith("."))

    def objects(self, key: str) -> frozenset[str]:
        """The sha256 of every object that a record speaks of: files, and blobs that are kept as they are."""
        document = self._read(key) or {}
        layers = document.get("layers", [])
        files = [*document.get("files", []), *(file for layer in layers for file in layer["files"])]
        blobs = {layer["digest"].removeprefix("sha256:") for layer in layers}
        return frozenset(blobs | {file["sha256"] for file in files})

    def _place(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.json"

    def _read(self, key: str) -> Mapping[str, Any] | None:
        try:
            document = json.loads(self._place(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return document if isinstance(document, dict) and document.get("schema") == SCHEMA else None

    def _write(self, key: str, document: Mapping[str, Any]) -> None:
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_name(f".{place.name}.{os.getpid()}")
        half.write_text(json.dumps({"schema": SCHEMA, **document}, indent=1) + "\n", encoding="utf-8")
        half.replace(place)


def _layer(document: Mapping[str, Any]) -> LayerRecord:
    files = tuple(FileRecord(**file) for file in document["files"])
    return LayerRecord(**{**document, "files": files, "folders": tuple(document["folders"])})
