"""The join stage: what was compiled for several models, each as if it were alone, as the one ``/models`` of an image.

Weights are not seen here: the plan says where they lie. What lies in a folder of weights stays in it; everything else of a
model goes below ``members/NAME``, its manifest too, in which every path is that of the image. The top manifest tells where
each model's is, and lists every file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.bake.digests import digests_of_bytes
from prebake.bake.documents import digest_bytes, sealed
from prebake.bake.join_settings import MEMBERS, JoinSettings, place_in
from prebake.bake.manifest import MANIFEST, SCHEMA

Document = dict[str, Any]


def join_image(settings: JoinSettings, members: Path, out: Path) -> None:
    """Join ``members/NAME``, each a compile stage's ``models``, under ``out/models``."""
    files: Document = {}
    models = {
        name: Mover(name, members / name, out / "models", dict(places), files).join()
        for name, places in settings.models.items()
    }
    top = {"schema": SCHEMA, "name": settings.image, "target": settings.target, "models": models, "files": files}
    _write(out / "models" / MANIFEST, sealed(top))


@dataclass(frozen=True)
class Mover:
    """Moves one model's files to their places. ``places`` starts as the plan has it, and gains each file that cannot have
    its name in its folder, because another model has another one there; ``taken`` are all files of the image so far."""

    name: str
    source: Path
    target: Path
    places: dict[str, str]
    taken: Document

    def join(self) -> Document:
        """The model's entry in the top manifest."""
        manifest: Document = json.loads((self.source / MANIFEST).read_bytes())
        components = manifest["components"].values()
        compiled = [artifact for component in components for artifact in component.get("artifacts", [])]
        own = {each["graph"]: folder_of(each["graph"]) for each in components}
        graphs = {each["graph"]: read_by(each) for each in compiled} | own
        for path in sorted(manifest["files"], key=lambda path: (path in graphs, path not in own, path)):
            # Graphs after what they name, and those that were compiled last: the files have their places by then.
            self._move(
                path, manifest["files"][path], self._renamed_data(path, graphs[path]) if path in graphs else None
            )
        place = self.place(MANIFEST)
        self._put(place, sealed(self._rewritten(manifest)), "asset")
        return {"manifest": place, "places": self.places}

    def place(self, path: str) -> str:
        """Where in the image lies what has this path in the model's own."""
        return place_in(path, self.places, f"{MEMBERS}/{self.name}")

    def _move(self, path: str, entry: Document, renamed: bytes | None) -> None:
        """``renamed`` is what a file becomes that has to name another's new name."""
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
        """A graph with the new names of the files of ``weights`` that it reads, where one of them has one."""
        folder = f"{weights}/"
        moved = {old.removeprefix(folder): Path(new).name for old, new in self.places.items() if old.startswith(folder)}
        if not moved:
            return None
        from prebake.bake.graph_files import renamed_data  # onnx, which as a rule nothing here needs

        return renamed_data(self.source / path, moved)

    def _put(self, place: str, data: bytes, origin: str) -> None:
        _write(self.target / place, data)
        self.taken[place] = {"size": len(data), **digests_of_bytes(data)._asdict(), "origin": origin}

    def _rewritten(self, manifest: Mapping[str, Any]) -> Document:
        """Every path of the manifest as the image has it."""
        components = {name: self._placed(component) for name, component in manifest["components"].items()}
        named = {part: self.place(manifest["warmup"][part]) for part in ("request", "answer")}
        files = {self.place(path): self.taken[self.place(path)] for path in manifest["files"]}
        return {**manifest, "components": components, "files": files, "warmup": {**manifest["warmup"], **named}}

    def _placed(self, opened: Mapping[str, Any]) -> Document:
        """A component, or what was compiled of it."""
        reads = {self.place(path): ranges for path, ranges in opened["reads"].items()}
        compiled = {"artifacts": [self._placed(each) for each in opened["artifacts"]]} if "artifacts" in opened else {}
        placed: Document = {"weights": self.place(opened["weights"])} if "weights" in opened else {}
        if "folders" in opened:
            placed["folders"] = {name: self.place(path) for name, path in opened["folders"].items()}
        if "scratch" in opened:
            placed["scratch"] = {**opened["scratch"], "folder": self.place(opened["scratch"]["folder"])}
        return {**opened, "graph": self.place(opened["graph"]), "reads": reads, **placed, **compiled}


def read_by(artifact: Mapping[str, Any]) -> str:
    """The folder with what an artifact's graph names."""
    return str(
        artifact.get("weights") or next(iter(artifact.get("folders", {}).values()), folder_of(artifact["graph"]))
    )


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
