"""The join stage: the ``/models`` folders of several models, each compiled as if it were alone, become the one of an image.

Weight files are not in this stage: the plan has their places. Files in a folder of weights stay in that folder. All other
files of a model go below ``members/NAME``, with its manifest, in which every path is that of the image. The top manifest
lists the manifests of all models, and every file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.bake.graphs.onnx_files import rename_external_files
from prebake.bake.weights.digests import compute_digests
from prebake.documents.canonical import digest_bytes
from prebake.documents.join_settings import MEMBERS, JoinSettings, place_in
from prebake.documents.manifest.schema import SCHEMA
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST

Document = dict[str, Any]


def join_image(settings: JoinSettings, members: Path, out: Path) -> None:
    """Join the folders ``members/NAME``, each the ``models`` of a compile stage, to ``out/models``."""
    files: Document = {}
    models = {
        name: ModelMover(name, members / name, out / "models", dict(places), files).join()
        for name, places in settings.models.items()
    }
    top = {"schema": SCHEMA, "name": settings.image, "target": settings.target, "models": models, "files": files}
    _write(out / "models" / MODEL_MANIFEST, seal_manifest(top))


@dataclass(frozen=True)
class ModelMover:
    """Moves one model's files to their places in the image. ``places`` are those of the plan. A file whose name another
    model's file has in the same folder is renamed, and added to ``places``. ``taken`` are the entries of all files of the
    image so far."""

    name: str
    source: Path
    target: Path
    places: dict[str, str]
    taken: Document

    def join(self) -> Document:
        """The model's entry in the top manifest."""
        manifest: Document = json.loads((self.source / MODEL_MANIFEST).read_bytes())
        components = manifest["components"].values()
        compiled = [artifact for component in components for artifact in component.get("artifacts", [])]
        own = {component["graph"]: folder_of(component["graph"]) for component in components}
        graphs = {artifact["graph"]: read_by(artifact) for artifact in compiled} | own
        for path in sorted(manifest["files"], key=lambda path: (path in graphs, path not in own, path)):
            # Graphs come after the files that they name, and compiled graphs come last: those files have their places by then.
            self._move(
                path, manifest["files"][path], self._renamed_data(path, graphs[path]) if path in graphs else None
            )
        place = self.place(MODEL_MANIFEST)
        self._put(place, seal_manifest(self._rewritten(manifest)), "asset")
        return {"manifest": place, "paths": self.places}

    def place(self, path: str) -> str:
        """The path in the image of a file or folder, by its path in the model's own folder."""
        return place_in(path, self.places, f"{MEMBERS}/{self.name}")

    def _move(self, path: str, entry: Document, renamed: bytes | None) -> None:
        """``renamed`` is the new content of a graph that reads renamed files."""
        source = self.source / path
        if not source.exists():
            self.taken[self.place(path)] = entry
            return
        sha256 = entry["sha256"] if renamed is None else digest_bytes(renamed)
        known = self.taken.get(self.place(path))
        if known is not None and known["sha256"] != sha256:
            folder, slash, name = self.place(path).rpartition("/")
            self.places[path] = f"{folder}{slash}{self.name}.{name}"
        if renamed is not None:
            self._put(self.place(path), renamed, entry["origin"])
            return
        target = self.target / self.place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        self.taken[self.place(path)] = entry

    def _renamed_data(self, path: str, weights: str) -> bytes | None:
        """A graph that reads files of the folder ``weights`` under their new names; None if none was renamed."""
        folder = f"{weights}/"
        moved = {old.removeprefix(folder): Path(new).name for old, new in self.places.items() if old.startswith(folder)}
        if not moved:
            return None
        return rename_external_files(self.source / path, moved)

    def _put(self, place: str, data: bytes, origin: str) -> None:
        _write(self.target / place, data)
        self.taken[place] = {"size": len(data), **compute_digests(data)._asdict(), "origin": origin}

    def _rewritten(self, manifest: Mapping[str, Any]) -> Document:
        """The manifest with the image's paths."""
        components = {name: self._placed(component) for name, component in manifest["components"].items()}
        named = {part: self.place(manifest["warmup"][part]) for part in ("request", "answer")}
        files = {self.place(path): self.taken[self.place(path)] for path in manifest["files"]}
        return {**manifest, "components": components, "files": files, "warmup": {**manifest["warmup"], **named}}

    def _placed(self, opened: Mapping[str, Any]) -> Document:
        """A component or an artifact with the image's paths."""
        reads = {self.place(path): ranges for path, ranges in opened["byte_ranges"].items()}
        compiled = (
            {"artifacts": [self._placed(artifact) for artifact in opened["artifacts"]]} if "artifacts" in opened else {}
        )
        placed: Document = {}
        if "weights_folder" in opened:
            placed["weights_folder"] = self.place(opened["weights_folder"])
        if "folder_options" in opened:
            placed["folder_options"] = {name: self.place(path) for name, path in opened["folder_options"].items()}
        if "scratch" in opened:
            placed["scratch"] = {**opened["scratch"], "folder": self.place(opened["scratch"]["folder"])}
        return {**opened, "graph": self.place(opened["graph"]), "byte_ranges": reads, **placed, **compiled}


def read_by(artifact: Mapping[str, Any]) -> str:
    """The folder of the files that an artifact's graph reads."""
    return str(
        artifact.get("weights_folder")
        or next(iter(artifact.get("folder_options", {}).values()), folder_of(artifact["graph"]))
    )


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
